"""The errors that a backend may raise, with the real package's failure codes."""


class BenchmarkError(Exception):
    """Base of all."""

    code = "harness_error"
    operator = None
    tensor = None

    def __init__(self, what, where=None, got=None, expected=None, remedy=None):
        """Keep the facts and build the message from them."""
        self.what, self.where, self.got, self.expected, self.remedy = what, where, got, expected, remedy
        parts = ["%s (at %s)" % (what, where) if where else what]
        parts += ["got %r" % (got,)] if got is not None else []
        parts += ["expected %s" % expected] if expected is not None else []
        parts += [remedy] if remedy is not None else []
        super().__init__("; ".join(parts))


class SpecError(BenchmarkError, ValueError):
    """A value that was given is wrong."""


class BackendError(BenchmarkError):
    """A backend did not do what its contract says."""

    code = "predict_error"


class BackendUnavailableError(BackendError):
    """The SDK or the device is not there."""

    code = "backend_unavailable"


class DeviceBusyError(BackendError):
    """Another job holds the device."""

    code = "device_busy"


class CompileError(BackendError):
    """The model was refused."""

    code = "compile_error"


class UnsupportedOperatorError(CompileError):
    """The compiler does not know an operator."""

    code = "unsupported_operator"


class PredictError(BackendError):
    """A query failed."""

    code = "predict_error"


class UnsupportedAskError(BackendError):
    """The backend does not answer what is asked: outputs, new tokens or scores."""

    code = "unsupported_ask"


class InputMismatchError(PredictError):
    """The inputs do not fit the compiled model."""

    code = "input_mismatch"


class MalformedOutputError(PredictError):
    """An answer is missing or has the wrong shape."""

    code = "malformed_output"


class OutOfDeviceMemoryError(BackendError):
    """The device has too little memory."""

    code = "out_of_device_memory"
