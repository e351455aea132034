"""The quota face: where one stands, what would be refused, and refusals as problems.

Here belongs how quotas are told and charged over HTTP. What is allowed is decided in the package ``quotas``.
"""

from gateway.quota.charging import Charging, Spending
from gateway.quota.face import QuotaFace
from gateway.quota.problem import Problem, problem_of_refusal, quota_problem

__all__ = ["Charging", "Problem", "QuotaFace", "Spending", "problem_of_refusal", "quota_problem"]
