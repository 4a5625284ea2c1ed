cdef bytes framed(const char* text, Py_ssize_t size)
