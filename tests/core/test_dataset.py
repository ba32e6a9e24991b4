"""What a data set holds, in words."""

from msgspec.structs import replace

from harness.core.dataset import LeftOut, Part, Repeated, Shared, Summary

TRAIN = Part(pictures=1200, boxes=3400, classes=2, backgrounds=7, suffixes={".jpg": 1198, ".png": 2})
VAL = Part(pictures=10, boxes=0, classes=0, backgrounds=10, suffixes={"": 10})


def test_a_set_with_nothing_to_remark_is_told_in_two_lines():
    assert Summary(3, TRAIN, VAL).in_words() == [
        "train: 1,200 pictures (.jpg 1,198, .png 2), 3,400 boxes of 2 of 3 classes, 7 pictures without a box",
        "val: 10 pictures (no suffix 10), 0 boxes of 0 of 3 classes, 10 pictures without a box",
    ]


def test_what_is_left_out_and_shared_is_told_with_number_and_example():
    other = LeftOut("other file", 1500, "/d/a.npy", {".npy": 1499, ".xml": 1})
    shared = Shared(4, "/d/val/a.jpg", equal=False)
    assert Summary(3, TRAIN, VAL, [LeftOut("crowd", 2, "/d/i.json: annotations[2]"), other], shared).in_words()[2:] == [
        "4 of the pictures of val are in train too, such as /d/val/a.jpg",
        "left out: 2 crowd regions, which are not trained on, such as /d/i.json: annotations[2]",
        "left out: 1,500 files that are no pictures (.npy 1,499, .xml 1), such as /d/a.npy",
    ]


def test_pictures_that_are_there_more_than_once_are_told_with_number_and_example():
    train = replace(TRAIN, repeated=Repeated(1100, "/d/a.jpg"))
    said = Summary(3, train, VAL).in_words()[2:]
    assert said == ["1,100 of the pictures of train are copies of others in it, such as /d/a.jpg"]


def test_a_val_that_is_the_train_is_told_as_that():
    said = Summary(3, TRAIN, TRAIN, shared=Shared(1200, "/d/a.jpg", equal=True)).in_words()[2]
    assert said == "train and val hold the same pictures: the score is of pictures that were trained on"
