"""dictate: speech recognition without a neural network, for short phrases. PocketSphinx."""
import wave

from component import HERE, serve
from pocketsphinx import Decoder

decoder = Decoder(samprate=16000, loglevel="FATAL")


def answer(question):
    with wave.open(str(HERE / question["path"])) as file:
        samples = file.readframes(file.getnframes())
    decoder.start_utt()
    decoder.process_raw(samples, full_utt=True)
    decoder.end_utt()
    heard = decoder.hyp()
    return {"text": heard.hypstr if heard else ""}


serve(answer)
