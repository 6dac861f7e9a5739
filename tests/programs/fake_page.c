/* Holds something that calls itself a status page, of the kind that its argument names, and waits. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MUST(call)                                               \
    do {                                                         \
        if ((call) < 0) {                                        \
            printf("cannot: %s: %s\n", #call, strerror(errno));  \
            return 99;                                           \
        }                                                        \
    } while (0)

/* As long as its field: a string would be one longer. */
#define MAGIC {'p', 'i', 'n', 's', 'h', 'i', 'm', '\n'}

/* The header of layout 2. That of layout 1 is the same, with nothing in host_at and 120 bytes long. */
struct header {
    char magic[8];
    uint32_t version, owner;
    uint64_t page_bytes;
    uint32_t sets_at, set_count, set_words, text_at, text_bytes, entries_at, entry_count, entry_bytes;
    uint32_t broker, settled, sandboxed, unlisted, entries_used, host_at;
    uint64_t counters[5], spare[17];
};

static int page(size_t size, int seals, const struct header *header)
{
    int fd = memfd_create("pinshim", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
        return -1;
    if (header && pwrite(fd, header, sizeof *header < size ? sizeof *header : size, 0) < 0)
        return -1;
    return seals && fcntl(fd, F_ADD_SEALS, seals) < 0 ? -1 : fd;
}

/* A sound page of this process: every CPU that it may run on is its one set, which the policy calls `all`.
   Of layout 2, `available` is what the host is said to have. */
static int sound_page(uint32_t version, const uint64_t *available)
{
    enum { WORDS = 128 };
    static const char text[] = "PIN_CPUS=all";
    struct {
        struct header header;
        uint64_t set[WORDS], host[2][WORDS];
        char text[sizeof text];
        uint64_t end[64];
    } page = {
        .header = {.magic = MAGIC,
                   .version = version,
                   .owner = (uint32_t)getpid(),
                   .page_bytes = sizeof page,
                   .sets_at = version == 1 ? 120 : sizeof(struct header),
                   .set_count = 1,
                   .set_words = WORDS,
                   .text_at = offsetof(__typeof__(page), text),
                   .text_bytes = sizeof text,
                   .entries_at = offsetof(__typeof__(page), end),
                   .entry_bytes = 128}};
    unsigned char *bytes = (unsigned char *)&page;
    if (syscall(SYS_sched_getaffinity, 0, sizeof page.set, page.set) < 0)
        return -1;
    if (version == 1) {
        memmove(bytes + 120, page.set, sizeof page.set);
    } else {
        page.header.host_at = offsetof(__typeof__(page), host);
        memcpy(page.host[0], available ? available : page.set, available ? 8 : sizeof page.set);
        memcpy(page.host[1], page.set, sizeof page.set);
    }
    memcpy(page.text, text, sizeof text);
    int fd = memfd_create("pinshim", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || write(fd, &page, sizeof page) != sizeof page)
        return -1;
    return fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0 ? -1 : fd;
}

/* A file of this type that is called as the page's link is: it is in a mount which is in no tree any more, so that
   its path begins at the mount's own root. */
static int look_alike(const char *folder, mode_t type)
{
    int fd;
    if (syscall(SYS_unshare, 0x00020000 /* CLONE_NEWNS */) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || mount("tmpfs", folder, "tmpfs", 0, NULL) < 0 ||
        chdir(folder) < 0 || mknod("memfd:pinshim", type | 0666, 0) < 0 || (fd = open("memfd:pinshim", O_RDWR)) < 0 ||
        unlink("memfd:pinshim") < 0 || umount2(folder, MNT_DETACH) < 0)
        return -1;
    return fd;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 98;
    const char *kind = argv[1];
    const int size_seals = F_SEAL_SHRINK | F_SEAL_GROW;
    struct header header = {.magic = MAGIC, .version = 2, .owner = (uint32_t)getpid()};
    int fd = -1;
    if (!strcmp(kind, "layout-1")) {
        fd = sound_page(1, NULL);
    } else if (!strcmp(kind, "layout-2")) {
        fd = sound_page(2, NULL);
    } else if (!strcmp(kind, "another-host")) {
        /* On a host whose only CPU is 63, `all` is another set than the page's. */
        const uint64_t available = 1ull << 63;
        fd = sound_page(2, &available);
    } else if (!strcmp(kind, "unsealed")) {
        fd = page(4096, 0, &header);
    } else if (!strcmp(kind, "may-shrink")) {
        fd = page(1 << 20, F_SEAL_GROW, &header);
    } else if (!strcmp(kind, "empty")) {
        fd = page(0, size_seals, NULL);
    } else if (!strcmp(kind, "short")) {
        fd = page(20, size_seals, &header);
    } else if (!strcmp(kind, "large")) {
        fd = page((size_t)1 << 40, size_seals, &header);
    } else if (!strcmp(kind, "other-version")) {
        header.version = 77;
        fd = page(4096, size_seals, &header);
    } else if (!strcmp(kind, "huge-counts")) {
        header.sets_at = header.text_at = header.entries_at = header.host_at = sizeof header;
        header.set_count = header.set_words = header.entry_count = header.text_bytes = UINT32_MAX;
        header.entry_bytes = 128;
        fd = page(1 << 20, size_seals, &header);
    } else if (!strcmp(kind, "anothers")) {
        /* Sound, and of another process. */
        header.owner = 1;
        header.sets_at = header.text_at = header.entries_at = header.host_at = 2048;
        header.set_count = header.set_words = 1;
        header.entry_bytes = 128;
        fd = page(4096, size_seals, &header);
    } else if (!strcmp(kind, "many")) {
        for (int i = 0; i < 500; i++)
            MUST(fd = page(20, size_seals, &header));
    } else if (!strcmp(kind, "pipe") || !strcmp(kind, "file")) {
        if (argc < 3)
            return 98;
        fd = look_alike(argv[2], !strcmp(kind, "pipe") ? S_IFIFO : S_IFREG);
    } else {
        return 98;
    }
    MUST(fd);
    printf("ready\n");
    fflush(stdout);
    pause();
    return 0;
}
