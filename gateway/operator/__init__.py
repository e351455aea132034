"""Kubernetes custom resources as a front door to the one typed model, beside the file and the admin API.

Here belongs: watching EdgeSite, GroupQuota and HarvestRequest objects, bringing the gateway to what they say, and
telling in their status what became of it. Not here: rules about sites, quotas and orders, which stay in their rooms;
the operator is a client of the gateway's own HTTP API. ``model`` and ``conditions`` are pure.
"""
