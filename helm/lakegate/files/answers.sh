# What `helm test` runs: whether the gateway is ready, tells of its catalogue, searches and knows quotas.
python - <<'PY'
import json, os, sys, urllib.request

base, token = os.environ["LAKEGATE_URL"], os.environ.get("LAKEGATE_TOKEN", "")


def get(path):
    request = urllib.request.Request(base + path, headers={"Authorization": "Bearer " + token} if token else {})
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


ready = get("/readyz")
assert ready["status"] == "pass", ready
landing = get("/")
assert landing["type"] == "Catalog" and landing["conformsTo"], "no STAC landing page"
page = get("/search?limit=1")
assert page["type"] == "FeatureCollection", page
print("ready; a search found", len(page["features"]), "item on its first page")
PY
lakegate sites
lakegate quota check items=1 > /dev/null && echo "quotas answer"
