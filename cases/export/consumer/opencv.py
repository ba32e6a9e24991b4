"""Runs a file by OpenCV's own reader."""

from __future__ import annotations

import cv2

from cases.export.consumer import INPUT, OUTPUTS, Answer, Question, Values, feed, in_one_line, serve


def work(question: Question) -> Answer:
    """What comes out of every picture."""
    reader = f"OpenCV {cv2.__version__}"
    cv2.setNumThreads(1)
    try:
        network = cv2.dnn.readNetFromONNX(question.file)
    except cv2.error as error:  # a file that it does not read
        said = str(error)
        return Answer(reader, in_one_line(said[max(0, said.rfind("Node [")) :]))  # the node that it stops at

    def run(pictures: Values) -> tuple[list[Values], list[float]]:
        network.setInput(pictures, INPUT)
        return list(network.forward(OUTPUTS)), []

    return Answer(reader, results=feed(question, run))


if __name__ == "__main__":
    serve(work)
