"""`claims.md`: the ledger of claims, each with its evidence."""

from __future__ import annotations

from reports.show.claims import SAYS, counts_in_words
from reports.show.text import for_markdown, one_line, pipe_table
from reports.show.verdict_file import StoredClaim, StoredExhibit, VerdictFile

INTRODUCTION = (
    "What is said of these versions, and what the records say of it. No outcome is written by hand: each follows from "
    "the evidence below it. `cases/claims.toml` has the claims and describes how they are judged."
)


def to_claims(verdict: VerdictFile) -> str:
    """The whole file. Foreign text is escaped."""
    claims = verdict.claims
    if not claims:
        return "# Claims\n\nNo claims stand in `cases/claims.toml`.\n"
    folders = dict.fromkeys(each.folder for one in claims for part in one.evidence for each in part.witnesses)
    told = ", ".join(filter(None, folders)) or "no results folder"
    rows = [[one.name, for_markdown(one.claim), f"**{one.outcome}**", for_markdown(one.sentence)] for one in claims]
    parts = [
        "# Claims",
        INTRODUCTION,
        f"{counts_in_words([one.outcome for one in claims])}. Evidence is from {for_markdown(told)}.",
        pipe_table(["id", "claim", "outcome", "why"], rows, "left"),
        *map(claim_in_markdown, claims),
    ]
    return "\n\n".join(parts) + "\n"


def claim_in_markdown(one: StoredClaim) -> str:
    """One claim with its evidence."""
    first = "To settle it: `{}`" if one.outcome == "open" else "Where that is there: `{}`"
    run = [first.format(one_line(command).replace("`", "'")) for command in one.run]
    disagree = ["The folders disagree."] if one.disagree else []
    said = " ".join([f"**{one.outcome}.**", for_markdown(one.sentence), *disagree])
    evidence = "\n".join(line for part in one.evidence for line in exhibit_in_markdown(part))
    heading = f"## {for_markdown(one.name)}: {for_markdown(one.claim)}"
    return "\n\n".join([heading, said, f"How it is tested: {for_markdown(one.how)}", evidence, *run])


def exhibit_in_markdown(part: StoredExhibit) -> list[str]:
    """One piece of the evidence: what the claim says, and what each folder shows."""
    beside = "" if part.decides else " (shown beside, does not count)"
    lines = [f"- The claim says: {for_markdown(part.expected)}{beside}"]
    lines += [f"  - {for_markdown(each.sentence)}" for each in part.witnesses]
    lines += [f"  - Lacking: {for_markdown('; '.join(part.lacking))}."] if part.lacking else []
    alone = {"open": "No results folder has it.", "met": f"{SAYS['met'].capitalize()}."}
    return [*lines, *([f"  - {alone[part.says]}"] if not part.witnesses and part.says in alone else [])]
