/* What a machine takes for the least of things: a Python call that does nothing, and a wait for memory. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <time.h>

static PyObject *empty(PyObject *self, PyObject *const *arguments, Py_ssize_t count)
{
    Py_RETURN_NONE;
}

struct record {
    uint32_t next;
    char rest[28];
};

static uint32_t slot_of(uint32_t id, uint32_t mask)
{
    return id * 2654435761u & mask;
}

/* The ids of all records in random order, so that no prefetcher guesses the next. */
static void shuffle(uint32_t *ids, uint32_t count)
{
    uint64_t state = 88172645463325252ULL;
    for (uint32_t at = 0; at < count; at++)
        ids[at] = at;
    for (uint32_t at = count - 1; at > 0; at--) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        uint32_t other = state % (at + 1), id = ids[at];
        ids[at] = ids[other];
        ids[other] = id;
    }
}

static double chase(const uint32_t *slots, uint32_t mask, const struct record *records, uint32_t id, Py_ssize_t lookups)
{
    struct timespec began, ended;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &began);
    for (Py_ssize_t at = 0; at < lookups; at++)
        id = *(volatile const uint32_t *)&records[slots[slot_of(id, mask)]].next;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ended);
    return ((ended.tv_sec - began.tv_sec) * 1e9 + (ended.tv_nsec - began.tv_nsec)) / lookups;
}

static PyObject *lookup_ns(PyObject *self, PyObject *arguments)
{
    Py_ssize_t count, lookups;
    double taken = -1;
    if (!PyArg_ParseTuple(arguments, "nn", &count, &lookups))
        return NULL;
    uint32_t *ids = malloc(count * sizeof(uint32_t)), *slots = malloc(2 * count * sizeof(uint32_t));
    struct record *records = malloc(count * sizeof(struct record));
    if (ids != NULL && slots != NULL && records != NULL) {
        shuffle(ids, count);
        for (Py_ssize_t at = 0; at < count; at++) {
            slots[slot_of(ids[at], 2 * count - 1)] = ids[at];
            records[ids[at]].next = ids[(at + 1) % count];
        }
        taken = chase(slots, 2 * count - 1, records, ids[0], lookups);
    }
    free(ids), free(slots), free(records);
    return taken < 0 ? PyErr_NoMemory() : PyFloat_FromDouble(taken);
}

static PyMethodDef methods[] = {
    {"empty", (PyCFunction)(void (*)(void))empty, METH_FASTCALL, "Do nothing."},
    {"lookup_ns", lookup_ns, METH_VARARGS, "(records, lookups): see yardsticks.py; the records are a power of two."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "yardsticks", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_yardsticks(void)
{
    return PyModule_Create(&module);
}
