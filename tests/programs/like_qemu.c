/* A program that makes its threads as QEMU does: through one static start routine, whose argument
   holds routine, argument and name, which the child frees. The first is call_rcu, from a
   constructor. In between come threads of other libraries, whose arguments are no such thing. Each
   argument of the program is the name of a further thread; each thread prints where it runs. With
   "-foreign" as the first, a foreign thread comes before call_rcu would. */
#include "common.h"
#include <semaphore.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

struct start_args {
    void *(*start_routine)(void *);
    void *arg;
    char *name;
};

static void *qemu_thread_start(void *opaque)
{
    struct start_args *args = opaque;
    void *(*start_routine)(void *) = args->start_routine;
    void *arg = args->arg;
    memset(args->name, '#', strlen(args->name));
    free(args->name);
    memset(args, 0x5a, sizeof *args);
    free(args);
    return start_routine(arg);
}

static void *shows_its_place(void *arg)
{
    cpu_set_t set;
    sched_getaffinity(0, sizeof set, &set);
    printf("%s: CPU %d of %d\n", (char *)arg, sched_getcpu(), CPU_COUNT(&set));
    return NULL;
}

static void as_qemu(const char *name)
{
    pthread_t id;
    struct start_args *args = malloc(sizeof *args);
    if (!args)
        exit(99);
    args->start_routine = shows_its_place;
    args->arg = (void *)name;
    args->name = strdup(name);
    MUST(pthread_create(&id, NULL, qemu_thread_start, args));
    MUST(pthread_join(id, NULL));
}

static void *foreign(void *arg)
{
    (void)arg;
    return shows_its_place("foreign");
}

static void as_another_library(void *arg)
{
    pthread_t id;
    MUST(pthread_create(&id, NULL, foreign, arg));
    MUST(pthread_join(id, NULL));
}

/* Of a library that is preloaded: runs the routine that its argument begins with. */
extern void *foreign_routine(void *) __attribute__((weak));

/* Everything that an argument can be. */
static void foreign_threads(void)
{
    long page = sysconf(_SC_PAGESIZE);
    char *two = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (two == MAP_FAILED || munmap(two + page, page) != 0)
        exit(99);
    memset(two, 'A', page);

    as_another_library(NULL);
    as_another_library((void *)1);
    as_another_library((void *)UINTPTR_MAX);
    as_another_library((void *)0x8000000000000000);
    as_another_library(two + page);        /* unmapped */
    as_another_library(two + page - 8);    /* too short for three pointers */
    as_another_library(two + page - 24);   /* three pointers to nowhere */
    as_another_library("IO io1");

    /* The right shape, by chance: its name is no name, has no end, is not mapped, is code. */
    struct start_args looks_right = {shows_its_place, NULL, two};
    as_another_library(&looks_right);
    looks_right.name = two + page - 4;
    as_another_library(&looks_right);
    looks_right.name = two + page;
    as_another_library(&looks_right);
    looks_right.name = (char *)shows_its_place;
    as_another_library(&looks_right);
    looks_right.name = "no name of QEMU's";
    as_another_library(&looks_right);

    /* A name of QEMU's, even, but another library's start routine. */
    if (!foreign_routine)
        exit(99);
    pthread_t id;
    looks_right.start_routine = foreign;
    looks_right.name = "CPU 0/KVM";
    MUST(pthread_create(&id, NULL, foreign_routine, &looks_right));
    MUST(pthread_join(id, NULL));
}

__attribute__((constructor(200))) static void before_main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    if (argc > 1 && strcmp(argv[1], "-foreign") == 0)
        foreign_threads();
    as_qemu("call_rcu");
}

int main(int argc, char **argv)
{
    shows_its_place("main");
    for (int i = 1; i < argc; i++)
        if (argv[i][0] != '-')
            as_qemu(argv[i]);
    foreign_threads();
    return 0;
}
