"""What the charts render is what Kubernetes knows, and the rows of the checklist name tests that there are."""

import re

import pytest
from helm_program import KUBECONFORM, ROOT, run, scenarios, template
from kubernetes_schemas import schemas

OTHERS = "CustomResourceDefinition,HTTPRoute,ServiceMonitor,PrometheusRule"
"""Kinds whose schemas are not Kubernetes' own."""
CASES = [(chart, values) for chart in ("helm/lakegate", "helm/lakegate-edge") for values in scenarios(chart)]


@pytest.mark.parametrize(("chart", "values"), CASES)
def test_every_object_is_one_that_kubernetes_knows(chart, values):
    text = template(chart=chart, files=(values,))
    done = run(KUBECONFORM, "-strict", "-summary", f"-skip={OTHERS}", "-schema-location", schemas(), stdin=text)
    assert not done.returncode, done.stdout[-3000:] + done.stderr


def test_the_schemas_refuse_a_member_that_there_is_not():
    text = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {prots: []}\n"
    done = run(KUBECONFORM, "-strict", "-schema-location", schemas(), stdin=text)
    assert done.returncode
    assert "prots" in done.stdout


def test_every_test_that_the_checklist_names_is_there():
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "helm-checklist.md").read_text()))
    files = [
        *(ROOT / "tests" / "unit").glob("test_helm_*.py"),
        *(
            path
            for area in ("operate", "operator", "replicas")
            for path in (ROOT / "tests" / "service" / area).glob("test_*.py")
        ),
    ]
    there = set(re.findall(r"def (test_\w+)", "".join(path.read_text() for path in files)))
    assert len(named) > 30
    assert named <= there
