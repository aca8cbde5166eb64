"""read: text in a picture. RapidOCR (PaddleOCR's models in ONNX Runtime)."""
import os

from component import HERE, serve
from rapidocr_onnxruntime import RapidOCR

THREADS = int(os.environ.get("OMP_NUM_THREADS", 1))
# With the default limits a page takes up to half a GiB; with these the peak stays below 200 MiB.
engine = RapidOCR(
    intra_op_num_threads=THREADS, use_cls=False, det_limit_type="max", det_limit_side_len=320, rec_batch_num=1
)


def answer(question):
    lines, _ = engine(str(HERE / question["path"]))
    return {"text": "\n".join(text for _, text, _ in lines or [])}


serve(answer)
