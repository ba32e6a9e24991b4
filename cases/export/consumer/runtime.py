"""Runs a file in onnxruntime, on one thread of the CPU."""

from __future__ import annotations

import time

import onnxruntime

from cases.export.consumer import INPUT, OUTPUTS, Answer, Question, Values, feed, in_one_line, serve


def work(question: Question) -> Answer:
    """What comes out of every picture, and how long its runs took."""
    reader = f"onnxruntime {onnxruntime.__version__}"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(question.file, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # a file that it does not read
        return Answer(reader, in_one_line(error))

    def run(pictures: Values) -> tuple[list[Values], list[float]]:
        outputs: list[Values] = session.run(OUTPUTS, {INPUT: pictures})
        seconds = []
        for _ in range(question.runs):
            began = time.perf_counter()
            session.run(OUTPUTS, {INPUT: pictures})
            seconds.append(time.perf_counter() - began)
        return outputs, seconds

    return Answer(reader, results=feed(question, run))


if __name__ == "__main__":
    serve(work)
