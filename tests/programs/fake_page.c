/* Holds something that calls itself a status page, of the kind that its argument names, and waits. */
#include <errno.h>
#include <fcntl.h>
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

/* The beginning of version 1's header, all that most readers would look at. */
struct header {
    char magic[8];
    uint32_t version, owner;
    uint64_t page_bytes;
    uint32_t sets_at, set_count, set_words, text_at, text_bytes, entries_at, entry_count, entry_bytes;
    uint32_t rest[64];
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

/* A root of its own, in which a file can be called as the page's link is. */
static int own_root(const char *folder)
{
    MUST(syscall(SYS_unshare, 0x00020000 /* CLONE_NEWNS */));
    MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
    MUST(mount("tmpfs", folder, "tmpfs", 0, NULL));
    MUST(chdir(folder));
    MUST(syscall(SYS_pivot_root, ".", "."));
    MUST(umount2(".", MNT_DETACH));
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 98;
    const char *kind = argv[1];
    const int size_seals = F_SEAL_SHRINK | F_SEAL_GROW;
    struct header header = {.magic = "pinshim\n", .version = 1, .owner = (uint32_t)getpid()};
    int fd = -1;
    if (!strcmp(kind, "unsealed")) {
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
        header.sets_at = header.text_at = header.entries_at = 112;
        header.set_count = header.set_words = header.entry_count = header.text_bytes = UINT32_MAX;
        header.entry_bytes = 128;
        fd = page(1 << 20, size_seals, &header);
    } else if (!strcmp(kind, "anothers")) {
        /* Sound, and of another process. */
        header.owner = 1;
        header.sets_at = header.text_at = header.entries_at = 2048;
        header.set_count = header.set_words = 1;
        header.entry_bytes = 128;
        fd = page(4096, size_seals, &header);
    } else if (!strcmp(kind, "many")) {
        for (int i = 0; i < 500; i++)
            MUST(fd = page(20, size_seals, &header));
    } else if (!strcmp(kind, "pipe") || !strcmp(kind, "file")) {
        if (argc < 3)
            return 98;
        if (own_root(argv[2]))
            return 99;
        if (!strcmp(kind, "pipe"))
            MUST(mkfifo("/memfd:pinshim", 0666));
        fd = open("/memfd:pinshim", O_RDWR | O_CREAT, 0666);
        unlink("/memfd:pinshim");
    } else {
        return 98;
    }
    MUST(fd);
    printf("ready\n");
    fflush(stdout);
    pause();
    return 0;
}
