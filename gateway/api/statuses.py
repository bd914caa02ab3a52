"""HTTP statuses of the gateway's own errors."""

from __future__ import annotations

from gateway import errors
from web.problems import Statuses

STATUSES: Statuses = {
    errors.NothingToRead: (422, "There is nothing to read"),
    errors.QuotaExceeded: (429, "The quota is used up"),
    errors.DeadlineExceeded: (504, "No answer in time"),
    errors.Overloaded: (503, "Overloaded"),
    errors.ControlPlaneUnavailable: (503, "The control plane is not available"),
    errors.TritonUnavailable: (503, "The classifier is not available"),
    errors.ModelNotLoaded: (503, "The classifier is not available"),
    errors.TritonFailed: (502, "The classifier failed"),
    errors.TritonRejected: (502, "The classifier failed"),
}
