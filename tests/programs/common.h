/* What every program here needs: to end with a message where a call fails, and to say when a thread is not on the
   CPU where it should be. */
#ifndef COMMON_H
#define COMMON_H

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ends the program where something that has to work does not. */
#define MUST(call)                                                              \
    do {                                                                        \
        int must_result_ = (call);                                              \
        if (must_result_ != 0) {                                                \
            fprintf(stdout, "line %d: %s: %s\n", __LINE__, #call, strerror(must_result_)); \
            exit(99);                                                           \
        }                                                                       \
    } while (0)

/* Whether the calling thread runs on the CPU that EXPECT_CPU names. Without that variable, which is
   only set for the run under the library, any CPU will do. Read before threads are made, so that
   the threads' first action is to ask for their CPU. */
static int expected_cpu_ = -1;

__attribute__((constructor)) static void read_expected_cpu_(void)
{
    const char *text = getenv("EXPECT_CPU");
    if (text)
        expected_cpu_ = atoi(text);
}

static inline int in_place(void)
{
    int cpu = sched_getcpu();
    return expected_cpu_ < 0 || cpu == expected_cpu_;
}

/* Prints a line where the calling thread is on another CPU. The run under the library then prints something that
   the run without it does not. */
static inline void here(const char *who)
{
    if (!in_place())
        printf("%s is on CPU %d and not on %d\n", who, sched_getcpu(), expected_cpu_);
}

#endif
