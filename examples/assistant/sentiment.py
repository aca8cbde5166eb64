"""sentiment: the mood of a text. VADER."""
from component import serve
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

analyzer = SentimentIntensityAnalyzer()


def answer(question):
    score = analyzer.polarity_scores(question["text"])["compound"]
    mood = "positive" if score > 0.05 else "negative" if score < -0.05 else "neutral"
    return {"mood": mood, "score": score}


serve(answer)
