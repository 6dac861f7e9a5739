// Does what it says it does, and when: for a recording to be compared with. Waits for SIGUSR1 first.
//
//   schedule CPU OTHER
//
// The main thread stays on CPU. One thread hops between both CPUs, a second one leaves CPU for 3 ms and once more for
// 100 us, and threads come and go. Moments are those of CLOCK_MONOTONIC in nanoseconds; each line ends with when it
// was not yet so, and when it was so.
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { HOPS = 40, SHORT = 1000 };

static int cpus[2];

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void spin(uint64_t nanoseconds) {
    for (uint64_t until = now() + nanoseconds; now() < until;) {
    }
}

// The system call itself: a library that keeps threads on their set would cut a request by libc's function.
static void go_to(int cpu) {
    unsigned long mask[16] = {0};
    mask[cpu / 64] = 1UL << (cpu % 64);
    if (syscall(SYS_sched_setaffinity, 0, sizeof mask, mask) != 0) {
        perror("sched_setaffinity");
        exit(1);
    }
}

static int tid(void) { return (int)syscall(SYS_gettid); }

// How long the calling thread has run so far, by the kernel's count.
static uint64_t ran(void) {
    // The count of a running thread is brought up to date when it is put on a CPU, or at a tick.
    sched_yield();
    FILE *file = fopen("/proc/thread-self/schedstat", "r");
    unsigned long long time = 0;
    if (file == NULL || fscanf(file, "%llu", &time) != 1) {
        perror("schedstat");
        exit(1);
    }
    fclose(file);
    return time;
}

static void *hops(void *unused) {
    prctl(PR_SET_NAME, "hopper");
    int own = tid();
    for (int hop = 0; hop < HOPS; hop++) {
        uint64_t before = now();
        go_to(cpus[hop % 2]);
        printf("hop %d %d %llu %llu\n", own, cpus[hop % 2], (unsigned long long)before, (unsigned long long)now());
        spin(3000000);
    }
    printf("ran %d %llu\n", own, (unsigned long long)ran());
    return unused;
}

static void *strays(void *unused) {
    prctl(PR_SET_NAME, "stray");
    int own = tid();
    go_to(cpus[0]);
    const uint64_t times[] = {3000000, 100000};
    for (int at = 0; at < 2; at++) {
        spin(5000000);
        uint64_t before = now();
        go_to(cpus[1]);
        uint64_t there = now();
        spin(times[at]);
        uint64_t leaving = now();
        go_to(cpus[0]);
        printf("stray %d %llu %llu %llu %llu\n", own, (unsigned long long)before, (unsigned long long)there,
               (unsigned long long)leaving, (unsigned long long)now());
    }
    return unused;
}

static void *short_lived(void *own) {
    *(int *)own = tid();
    return NULL;
}

static void run(void *(*routine)(void *), void *argument) {
    pthread_t thread;
    int error = pthread_create(&thread, NULL, routine, argument);
    if (error == 0) error = pthread_join(thread, NULL);
    if (error != 0) {
        fprintf(stderr, "a thread: %s\n", strerror(error));
        exit(1);
    }
}

int main(int count, char **arguments) {
    if (count != 3) return 2;
    for (int at = 0; at < 2; at++) cpus[at] = atoi(arguments[at + 1]);
    sigset_t signals;
    int signal;
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    go_to(cpus[0]);
    printf("ready %d\n", tid());
    fflush(stdout);
    sigwait(&signals, &signal);
    run(hops, NULL);
    run(strays, NULL);
    for (int at = 0; at < SHORT; at++) {
        int own = 0;
        uint64_t before = now();
        run(short_lived, &own);
        printf("short %d %llu %llu\n", own, (unsigned long long)before, (unsigned long long)now());
    }
    printf("done\n");
    fflush(stdout);
    sigwait(&signals, &signal);
    return 0;
}
