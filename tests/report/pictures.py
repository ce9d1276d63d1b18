"""The reports of four recorded streams and their pictures, as docs/guides/replay.md shows and judges them.

`python -m tests.report.pictures FOLDER` writes tables, reports and PNG files into a folder; the data has to
lie beside the project. Models are frozen after their first rows, so that changes show: a Hoeffding tree of
2,000 rows (Elec2, noaa_weather), a linear model of the first year (bike sharing); California housing comes
with predictions.
"""

from __future__ import annotations

import csv
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from tests.integration import recorded
from tests.integration.browser import Page, browsing

# When the rows were: Elec2 every half hour from its first day. noaa_weather has days from 1949 on; the first
# of them is set to 1970, where event time begins.
BEGINS = {
    "elec2": (datetime(1996, 5, 7), timedelta(minutes=30)),
    "noaa_weather": (datetime(1970, 1, 1), timedelta(days=1)),
}
YEAR_ROWS = 24 * 365
COLUMNS = {
    "elec2": ("label", "prediction", None, "ts"),
    "noaa_weather": ("label", "prediction", None, "ts"),
    "bike_sharing_hourly": ("users", "prediction", None, "date_time"),
    "nannyml_california_housing": ("clf_target", "y_pred", "y_pred_proba", "timestamp"),
}
# File of the picture, stream, width, dark; a phone's picture goes down to the requests.
PICTURES = [
    ("elec2.png", "elec2", 1000, False),
    ("noaa-dark.png", "noaa_weather", 1000, True),
    ("bike.png", "bike_sharing_hourly", 1000, False),
    ("california.png", "nannyml_california_housing", 1000, False),
    ("california-phone-dark.png", "nannyml_california_housing", 390, True),
]
PHONE_HEIGHT = 1290


def classified(name: str, path: Path) -> None:
    begins, step = BEGINS[name]
    said = recorded.said(name, retrain=False)
    with path.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["ts", *said[0].features, "prediction", "label"])
        for i, row in enumerate(said):
            at = (begins + i * step).isoformat()
            writer.writerow([at, *row.features.values(), row.prediction, row.label])


def bikes(path: Path) -> None:
    rows = list(recorded.rows("bike_sharing_hourly"))
    seen = np.zeros((len(rows), 54))
    for i, row in enumerate(rows):
        seen[i, int(float(row["hour"])) + 24 * int(float(row["workingday"]))] = 1
        warm = float(row["temp"]) / 40
        weather = [row["weather"] == "rain", row["weather"] == "misty"]
        seen[i, 48:] = [warm, float(row["hum"]) / 100, float(row["windspeed"]) / 60, *weather, warm * warm]
    users = np.log1p([float(row["users"]) for row in rows])
    learned = seen[:YEAR_ROWS]
    weights = np.linalg.lstsq(learned, users[:YEAR_ROWS], rcond=None)[0]
    with path.open("w", newline="") as out:
        names = [name for name in rows[0] if name not in ("date_time", "users")]
        writer = csv.writer(out)
        writer.writerow(["date_time", *names, "prediction", "users"])
        for row, said in zip(rows, np.expm1(seen @ weights), strict=True):
            features = [row[name] for name in names]
            writer.writerow([row["date_time"], *features, round(max(0.0, float(said)), 1), row["users"]])


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, (label, prediction, score, timestamp) in COLUMNS.items():
        table = folder / f"{name}.csv"
        if name in BEGINS:
            classified(name, table)
        elif name == "bike_sharing_hourly":
            bikes(table)
        else:
            table = recorded.DATA / f"{name}.csv.gz"
        columns = ["--label", label, "--prediction", prediction, "--timestamp", timestamp]
        columns += ["--score", score] if score else []
        command = [sys.executable, "-m", "driftbus", "replay", str(table), *columns]
        command += ["--report", str(folder / f"{name}.html"), "--truth", str(recorded.DATA / "TRUTH.json")]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with browsing(folder / "profile") as browser:
        for file, name, width, dark in PICTURES:
            page = Page(browser, width=width, dark=dark)
            page.open((folder / f"{name}.html").as_uri())
            bottom = page.js("document.querySelector('figure').getBoundingClientRect().bottom + scrollY")
            page.screenshot(folder / file, height=PHONE_HEIGHT if width < 600 else int(bottom) + 12)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
