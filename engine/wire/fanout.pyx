"""The same bytes to many sockets, written by a thread that takes only what nobody else wants of the processor.

A write to a socket takes the kernel some microseconds, and a thousand of them would hold up whoever waits for the
interpreter. The thread has none of it: it is C, never takes the interpreter's lock, and Linux runs it when the
processor has nothing else to do (SCHED_IDLE) and puts it off at once when there is. Where the processor is never free,
``help`` writes what is left.

A write is made by whoever takes it first. What is begun and what has ended is told through pipes, so that memory
belongs to one side at a time but for that.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.errno cimport EINTR, errno
from libc.stdlib cimport calloc, free

import os

cdef extern from *:
    """
    #include <pthread.h>
    #include <sched.h>
    #include <signal.h>
    #include <sys/socket.h>
    #ifdef __linux__
    #include <sys/syscall.h>
    #endif
    #include <time.h>
    #include <unistd.h>

    #ifndef MSG_NOSIGNAL
    #define MSG_NOSIGNAL 0  /* the interpreter ignores SIGPIPE */
    #endif

    /* Of two hands the first to call it has the write. */
    static int exchange_take(char *taken) { return !__atomic_exchange_n(taken, 1, __ATOMIC_ACQ_REL); }

    static int exchange_start(pthread_t *thread, void *(*work)(void *), void *given) {
        sigset_t all, before;
        int failed;
        sigfillset(&all);  /* signals are the interpreter's */
        pthread_sigmask(SIG_SETMASK, &all, &before);
        failed = pthread_create(thread, NULL, work, given);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        return failed;
    }

    #ifdef __linux__
    /* As sched_setattr(2) has it; the C library does not. */
    struct exchange_sched_attr {
        unsigned int size, policy;
        unsigned long long flags;
        int nice;
        unsigned int priority;
        unsigned long long runtime_ns, deadline_ns, period_ns;
    };
    #endif

    /* Have this thread run when the processor is free, in slices of a tenth of a millisecond, the shortest that there
     * are since Linux 6.12: other sessions and containers do not see that it is idle, and wait for the end of its
     * slice. Where that cannot be had, it goes on as it is. */
    static int exchange_step_back(void) {
    #ifdef __linux__
        struct exchange_sched_attr attr = {sizeof(attr), SCHED_IDLE, 0, 0, 0, 100000, 0, 0};
        return (int)syscall(SYS_sched_setattr, 0, &attr, 0);
    #else
        return -1;
    #endif
    }

    static long long exchange_thread_ns(void) {
        struct timespec now;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
        return now.tv_sec * 1000000000LL + now.tv_nsec;
    }
    """
    ctypedef struct pthread_t:
        pass
    int exchange_take(char* taken) nogil
    int exchange_start(pthread_t* thread, void* (*work)(void*) noexcept nogil, void* given) nogil
    int exchange_step_back() nogil
    long long exchange_thread_ns() nogil
    int pthread_join(pthread_t thread, void** result) nogil
    Py_ssize_t send(int socket, const void* data, size_t size, int flags) nogil
    Py_ssize_t read(int file, void* data, size_t size) nogil
    Py_ssize_t write(int file, const void* data, size_t size) nogil
    int close_file "close"(int file) nogil
    int MSG_DONTWAIT, MSG_NOSIGNAL

cdef enum:
    GO = 1
    STOP = 2

cdef struct Write:
    const char* data
    size_t size
    size_t written
    int socket
    char taken

cdef struct Spread:
    Write* writes
    Py_ssize_t count
    int orders  # read by the thread: GO, or STOP
    int ended  # written by it
    long long took_ns  # of the processor, all that it has had


cdef void* work(void* given) noexcept nogil:
    # The thread.
    cdef Spread* spread = <Spread*>given
    cdef char order = STOP
    cdef Py_ssize_t i
    exchange_step_back()
    while told(spread.orders, &order) and order == GO:
        for i in range(spread.count):
            if exchange_take(&spread.writes[i].taken):
                write_one(&spread.writes[i])
        spread.took_ns = exchange_thread_ns()
        tell(spread.ended, GO)
    return NULL


cdef void write_one(Write* one) noexcept nogil:
    # What cannot be written now, for whatever reason, is the owner's, who hears the reason when it tries again.
    cdef Py_ssize_t written = send(one.socket, one.data, one.size, MSG_DONTWAIT | MSG_NOSIGNAL)
    one.written = <size_t>written if written > 0 else 0


cdef bint told(int pipe, char* order) noexcept nogil:
    cdef Py_ssize_t got = -1
    while got < 0:
        got = read(pipe, order, 1)
        if got < 0 and errno != EINTR:
            return False
    return got == 1


cdef bint tell(int pipe, char order) noexcept nogil:
    cdef Py_ssize_t put = -1
    while put < 0:
        put = write(pipe, &order, 1)
        if put < 0 and errno != EINTR:
            return False
    return put == 1


cdef inline void close_if_open(int file) noexcept nogil:
    if file >= 0:
        close_file(file)


def step_back():
    return exchange_step_back() == 0


cdef class Fanout:
    cdef Spread* spread
    cdef pthread_t thread
    cdef object jobs  # that are under way: the thread reads their bytes
    cdef int ended, orders
    cdef long long took_ns
    cdef Py_ssize_t helped  # writes that are taken, of the first ones
    cdef bint running

    def __cinit__(self):
        self.spread = <Spread*>calloc(1, sizeof(Spread))
        if self.spread == NULL:
            raise MemoryError
        self.ended = self.orders = self.spread.orders = self.spread.ended = -1
        self.spread.orders, self.orders = os.pipe()
        self.ended, self.spread.ended = os.pipe()
        os.set_blocking(self.ended, False)
        if exchange_start(&self.thread, work, self.spread):
            raise OSError("no thread can be started that writes to stream subscribers")
        self.running = True

    def __dealloc__(self):
        if self.spread == NULL:
            return
        self.stop()
        close_if_open(self.spread.orders)
        close_if_open(self.orders)
        close_if_open(self.ended)
        close_if_open(self.spread.ended)
        free(self.spread.writes)
        free(self.spread)

    def fileno(self):
        return self.ended

    @property
    def under_way(self):
        return self.jobs is not None

    def begin(self, jobs not None):
        cdef Py_ssize_t count = 0
        cdef Write* one
        if self.jobs is not None or not self.running:
            raise RuntimeError("what was begun has not ended" if self.running else "it was closed")
        jobs = tuple((<bytes?>data, tuple(sockets)) for data, sockets in jobs)
        for _, sockets in jobs:
            count += len(sockets)
        free(self.spread.writes)
        self.spread.count = 0
        self.spread.writes = <Write*>calloc(max(count, 1), sizeof(Write))
        if self.spread.writes == NULL:
            raise MemoryError
        one = self.spread.writes
        for data, sockets in jobs:
            for socket in sockets:
                one.data, one.size, one.socket = PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), socket
                one += 1
        self.spread.count, self.helped = count, 0
        self.jobs = jobs
        tell(self.orders, GO)

    def help(self):
        cdef Write* one
        while self.jobs is not None and self.helped < self.spread.count:
            one = &self.spread.writes[self.helped]
            self.helped += 1
            if exchange_take(&one.taken):
                write_one(one)
                return True
        return False

    def end(self):
        cdef Write* one = self.spread.writes
        cdef char order
        cdef long long took_ns
        cdef list left = []
        if self.jobs is None:
            raise RuntimeError("nothing was begun")
        if read(self.ended, &order, 1) != 1:
            raise BlockingIOError("what was begun has not ended")
        for number, (_, sockets) in enumerate(self.jobs):
            for place in range(len(sockets)):
                if one.written < one.size:
                    left.append((number, place, one.written))
                one += 1
        took_ns, self.took_ns = self.spread.took_ns - self.took_ns, self.spread.took_ns
        self.jobs = None
        return left, took_ns / 1e9

    def close(self):
        self.stop()

    cdef void stop(self) noexcept:
        # A write never waits, so the thread ends soon.
        if self.running:
            self.running = False
            tell(self.orders, STOP)
            with nogil:
                pthread_join(self.thread, NULL)
