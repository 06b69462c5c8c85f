#!/usr/bin/env python3
"""What CloudWatch would make of datapoints: evaluates the alarms of packaging/aws by the documented rules, minute by minute.

Prints the changes of each alarm's state, as JSON: {alarm: [[minute, state], …]}. Arguments: the directory with the rendered
alarms, a file with datapoints ([{"namespace", "metric", "dimensions", "timestamp", "value"}], in seconds), and the first and the last
minute to evaluate at the end of.

The rules, from the CloudWatch user guide:
- "Alarm evaluation", "Alarm evaluation windows": every minute, over the last `EvaluationPeriods` periods, which slide by minutes;
- "Configuring how CloudWatch alarms treat missing data": more periods than those are looked at. Is there data in as many of them as
  are to be evaluated, the latest of these count and gaps do not; else what is missing is filled in as `TreatMissingData` says.
  How many more is not documented exactly; the guide's tables have two more, and so has this;
- "Create an alarm based on a Metrics Insights query": each group of a query has a state of its own, and one is enough.
What the alarms do not use is refused: other treatments of missing data, expressions of other forms."""

import json
import pathlib
import re
import sys

MINUTE = 60
MORE_PERIODS = 2
FILLED = re.compile(r"(\w+) - FILL\((\w+), REPEAT\)")
QUERY = re.compile(
    r"SELECT (?P<stat>\w+)\((?P<metric>\w+)\) FROM SCHEMA\(\"(?P<namespace>[\w/-]+)\", (?P<labels>[\w, ]+)\)"
    r" WHERE (?P<conditions>.+?)(?: GROUP BY (?P<group>\w+) ORDER BY \w+\(\) DESC)?"
)
CONDITION = re.compile(r"(\w+) (=|!=) '([^']*)'")
STATISTICS = {
    "Sum": sum,
    "Minimum": min,
    "Maximum": max,
    "SampleCount": len,
    "SUM": sum,
    "MAX": max,
}
COMPARISONS = {
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
}


def within(points, start, end):
    return [point["value"] for point in points if start <= point["timestamp"] < end]


def statistic(stat, points, start, end):
    values = within(points, start, end)
    return STATISTICS[stat](values) if values else None


def series_of(metric, datapoints):
    dimensions = {each["Name"]: each["Value"] for each in metric["Dimensions"]}
    wanted = (metric["Namespace"], metric["MetricName"], dimensions)
    return [each for each in datapoints if (each["namespace"], each["metric"], each["dimensions"]) == wanted]


class Metric:
    """One metric's statistic; one group without a name."""

    def __init__(self, metric, stat, period, datapoints):
        self.stat, self.period, self.points = stat, period, series_of(metric, datapoints)

    def groups(self):
        return [None]

    def value(self, _group, start, end):
        return statistic(self.stat, self.points, start, end)


class Difference:
    """`a - FILL(b, REPEAT)`: of b, the last value there was."""

    def __init__(self, of, less, period):
        self.of, self.less, self.period = of, less, period

    def groups(self):
        return [None]

    def value(self, group, start, end):
        of = self.of.value(group, start, end)
        # The graphed range reaches further back than an hour's worth of periods.
        earlier = (self.less.value(group, start - n * self.period, end - n * self.period) for n in range(60))
        less = next((value for value in earlier if value is not None), None)
        return None if of is None or less is None else of - less


class Query:
    """A Metrics Insights query, over metrics that have exactly the dimensions of its schema."""

    def __init__(self, expression, period, datapoints):
        asked = QUERY.fullmatch(expression)
        if not asked:
            raise ValueError(f"a query of another form: {expression}")
        conditions = [CONDITION.fullmatch(each) for each in asked["conditions"].split(" AND ")]
        labels = set(asked["labels"].split(", "))
        self.stat, self.period, self.group = asked["stat"], period, asked["group"]
        self.points = [
            point
            for point in datapoints
            if (point["namespace"], point["metric"]) == (asked["namespace"], asked["metric"])
            and set(point["dimensions"]) == labels
            and all((point["dimensions"][key] == value) == (sign == "=") for key, sign, value in map(re.Match.groups, conditions))
        ]

    def groups(self):
        return sorted({point["dimensions"][self.group] for point in self.points}) if self.group else [None]

    def value(self, group, start, end):
        points = [point for point in self.points if group is None or point["dimensions"][self.group] == group]
        return statistic(self.stat, points, start, end)


def watched(alarm, datapoints):
    """What the alarm is on."""
    if "Metrics" not in alarm:
        return Metric(alarm, alarm["Statistic"], alarm["Period"], datapoints)
    by_id = {}
    for query in alarm["Metrics"]:
        if "MetricStat" in query:
            stat = query["MetricStat"]
            by_id[query["Id"]] = Metric(stat["Metric"], stat["Stat"], stat["Period"], datapoints)
        elif query["Expression"].startswith("SELECT "):
            by_id[query["Id"]] = Query(query["Expression"], query["Period"], datapoints)
        else:
            of, less = FILLED.fullmatch(query["Expression"]).groups()
            by_id[query["Id"]] = Difference(by_id[of], by_id[less], by_id[of].period)
    (result,) = (by_id[query["Id"]] for query in alarm["Metrics"] if query["ReturnData"])
    return result


def judge(values, alarm):
    """The state that comes of values, oldest first; none is a period without data."""
    breaches = COMPARISONS[alarm["ComparisonOperator"]]
    missing = {"breaching": True, "notBreaching": False}[alarm["TreatMissingData"]]
    periods = alarm["EvaluationPeriods"]
    judged = [breaches(value, alarm["Threshold"]) for value in values if value is not None][-periods:]
    judged += [missing] * (periods - len(judged))
    return "ALARM" if sum(judged) >= alarm["DatapointsToAlarm"] else "OK"


def state(alarm, source, end):
    """The state at a time, from what lies before it."""
    ages = range(alarm["EvaluationPeriods"] + MORE_PERIODS, 0, -1)
    states = {
        judge([source.value(group, end - n * source.period, end - (n - 1) * source.period) for n in ages], alarm)
        for group in source.groups() or [None]
    }
    return "ALARM" if "ALARM" in states else "OK"


def changes(alarm, datapoints, first, last):
    source, now, told = watched(alarm, datapoints), None, []
    for minute in range(first, last + 1):
        before, now = now, state(alarm, source, minute * MINUTE)
        if now != before:
            told.append([minute, now])
    return told


def main(directory, datapoints, first, last):
    points = json.loads(pathlib.Path(datapoints).read_text())
    alarms = {path.stem: json.loads(path.read_text()) for path in sorted(pathlib.Path(directory).glob("*.json"))}
    print(json.dumps({name: changes(alarm, points, int(first), int(last)) for name, alarm in alarms.items()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
