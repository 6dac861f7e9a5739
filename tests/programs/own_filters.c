/* Filters that hold for a part of the process alone, or for another process. Afterwards the main thread creates threads,
   from FROM_CPU.

   usage: own_filters strict|vfork|fails|thread|names */
#include "common.h"
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int placed;

/* Allows what a process needs to execute another program, or a thread to end, and kills for everything else. */
static struct sock_filter steps[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sched_setaffinity, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};
static struct sock_fprog program = {sizeof steps / sizeof *steps, steps};

/* Allows of prctl to name a thread, and kills for everything else of it. */
static struct sock_filter naming_steps[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prctl, 0, 3),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PR_SET_NAME, 1, 0),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};
static struct sock_fprog naming_program = {sizeof naming_steps / sizeof *naming_steps, naming_steps};
static int names;

static void *child(void *arg)
{
    if (names && (prctl(PR_SET_NAME, "by prctl", 0, 0, 0) != 0 || pthread_setname_np(pthread_self(), "by pthread") != 0))
        exit(94);
    placed += in_place();
    return arg;
}

static void *strict(void *arg)
{
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0) == 0)
        syscall(SYS_exit, 0);
    return arg;
}

static void *filtered(void *arg)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0)
        exit(96);
    pthread_t id;
    MUST(pthread_create(&id, NULL, child, NULL));
    MUST(pthread_join(id, NULL));
    placed = 0;
    return arg;
}

static void in_a_thread(void *(*routine)(void *))
{
    pthread_t id;
    MUST(pthread_create(&id, NULL, routine, NULL));
    MUST(pthread_join(id, NULL));
}

static void in_a_vfork_child(void)
{
    static char *const arguments[] = {"true", NULL};
    static char *const environment[] = {NULL};
    pid_t pid = vfork();
    if (pid == 0) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0)
            _exit(96);
        execve("/bin/true", arguments, environment);
        _exit(95);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    printf("the child's status: %d\n", status);
}

/* The kernel takes none of these: no program, a program without steps, one that ends nowhere, unknown flags. */
static void that_fail(void)
{
    struct sock_fprog empty = {0, steps}, endless = {1, steps};
    struct sock_fprog *const wrong[] = {NULL, (struct sock_fprog *)8, &empty, &endless};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        for (unsigned flags = 0; flags <= SECCOMP_FILTER_FLAG_TSYNC; flags++) {
            long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, wrong[i]);
            printf("%ld, errno %d\n", result, errno);
            result = prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, wrong[i], 0, 0);
            printf("%ld, errno %d\n", result, errno);
        }
    long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 1 << 30, &program);
    printf("%ld, errno %d\n", result, errno);
    result = syscall(SYS_seccomp, 77, 0, &program);
    printf("%ld, errno %d\n", result, errno);
    unsigned action = SECCOMP_RET_TRAP;
    result = syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action);
    printf("%ld\n", result);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(atoi(getenv("FROM_CPU")), &set);
    if (strcmp(what, "strict") == 0)
        in_a_thread(strict);
    else if (strcmp(what, "vfork") == 0)
        in_a_vfork_child();
    else if (strcmp(what, "fails") == 0)
        that_fail();
    else if (strcmp(what, "thread") == 0)
        in_a_thread(filtered);
    else if (strcmp(what, "names") == 0) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &naming_program, 0, 0) != 0)
            return 96;
        names = 1;
    }
    if (syscall(SYS_sched_setaffinity, 0, sizeof set, &set) != 0)
        return 97;
    for (int i = 0; i < 3; i++)
        in_a_thread(child);
    printf("%d of 3 in place\n", placed);
    return 0;
}
