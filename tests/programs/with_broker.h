/* What a program in a sandbox holds of the process outside it: the socket, the shared answers, the status page; and how
   to ask. The layout is that of src/inside/broker/message.rs. */
#ifndef WITH_BROKER_H
#define WITH_BROKER_H

#include "common.h"
#include <dirent.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int seccomp_load(void *context);

enum { PIN = 1, LOOK = 2, WATCH = 3, TAKE_OVER = 4 };

struct message {
    uint32_t magic;
    uint16_t kind, set;
    int32_t tid;
    uint32_t slot, generation;
};

#define MAGIC 0x70696e31
#define NOWHERE UINT32_MAX
#define SLOTS 256
/* One that the library itself does not use: it takes them in turn, and makes fewer requests than this. */
#define SLOT 250
#define PENDING 1

static int sock = -1;
static _Atomic uint32_t *answers;
static size_t answer_words;
static unsigned char *page;
static size_t page_bytes;

static inline void find_socket(void)
{
    DIR *folder = opendir("/proc/self/fd");
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        char path[300], link[100];
        snprintf(path, sizeof path, "/proc/self/fd/%s", entry->d_name);
        ssize_t length = readlink(path, link, sizeof link);
        if (length > 7 && memcmp(link, "socket:", 7) == 0)
            sock = atoi(entry->d_name);
    }
    closedir(folder);
}

static inline void find_memory(void)
{
    char line[500];
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps)) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx rw-s", &from, &to) != 2 || !strstr(line, "rw-s"))
            continue;
        if (strstr(line, "/memfd:pinshim")) {
            page = (unsigned char *)from;
            page_bytes = to - from;
        } else if (strstr(line, "/dev/zero")) {
            answers = (_Atomic uint32_t *)from;
            answer_words = (to - from) / 4;
        }
    }
    fclose(maps);
}

static inline ssize_t throw_bytes(const void *bytes, size_t length)
{
    return send(sock, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Asks for what is not answered; 0 if it was sent. */
static inline int tell(int kind, int set, int tid)
{
    struct message message = {MAGIC, kind, set, tid, NOWHERE, 0};
    return throw_bytes(&message, sizeof message) == sizeof message ? 0 : errno;
}

/* The low byte of the answer: 2 and 3 are for placed and cut, 0x80 and more for a refusal; PENDING if there was none in
   that time, and minus errno if it could not be sent. */
static inline int ask_for(int kind, int set, int tid, const struct ucred *claimed, int patience_ms)
{
    static uint32_t generation = 0x100;
    struct message message = {MAGIC, kind, set, tid, SLOT, generation += 0x100};
    struct iovec part = {&message, sizeof message};
    char control[CMSG_SPACE(sizeof *claimed)] = {0};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    if (claimed) {
        header.msg_control = control;
        header.msg_controllen = sizeof control;
        struct cmsghdr *c = CMSG_FIRSTHDR(&header);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_CREDENTIALS;
        c->cmsg_len = CMSG_LEN(sizeof *claimed);
        memcpy(CMSG_DATA(c), claimed, sizeof *claimed);
    }
    answers[SLOT] = generation | PENDING;
    if (sendmsg(sock, &header, MSG_NOSIGNAL) != sizeof message)
        return -errno;
    for (int i = 0; i < patience_ms && answers[SLOT] == (generation | PENDING); i++)
        usleep(1000);
    return answers[SLOT] & 0xff;
}

/* Has the calling thread, and what it makes, meet this answer of seccomp(2) to a system call; the listener or 0. */
static inline int filter_call(unsigned number, unsigned answer, unsigned flags)
{
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, answer),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof steps / sizeof *steps, steps};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -1;
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

/* Loads the sandbox. With WITHOUT_PIDFD the kernel has no pidfd_open(2) for the process outside it. */
static inline int load_sandbox(void)
{
    if (getenv("WITHOUT_PIDFD") && filter_call(SYS_pidfd_open, SECCOMP_RET_ERRNO | ENOSYS, 0) != 0)
        return errno;
    return -seccomp_load(NULL);
}

/* Puts a thread on this CPU and no other; 0 if that worked. */
static inline int move_to(int tid, int cpu)
{
    unsigned long mask = 1ul << cpu;
    return syscall(SYS_sched_setaffinity, tid, sizeof mask, &mask) == 0 ? 0 : errno;
}

/* The affinity of a thread as a mask of the first CPUs. */
static inline unsigned long mask_of(int tid)
{
    unsigned long mask[1024] = {0};
    return syscall(SYS_sched_getaffinity, tid, sizeof mask, mask) > 0 ? *mask : 0;
}

#endif
