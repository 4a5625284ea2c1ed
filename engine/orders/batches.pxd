cdef class Answer:
    cdef readonly bytearray command
    cdef readonly int follows
    cdef readonly object entry
    cdef object _error
    cdef list _calls  # of those who wait
    cdef object _receiver
    cdef readonly object context
    cdef bint is_known(self) noexcept
    cdef bint is_awaited(self) noexcept
