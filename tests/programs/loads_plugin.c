/* Loads and unloads a library that makes threads: its path is the first argument, and a second one
   asks for RTLD_DEEPBIND. */
#include "common.h"
#include <dlfcn.h>

int main(int argc, char **argv)
{
    int good = 0;
    for (int i = 0; i < 50; i++) {
        void *plugin = dlopen(argv[1], RTLD_NOW | (argc > 2 ? RTLD_DEEPBIND : 0));
        if (!plugin) {
            puts(dlerror());
            return 99;
        }
        int (*run)(void);
        *(void **)&run = dlsym(plugin, "plugin_run");
        good += run();
        if (dlclose(plugin) != 0)
            return 99;
    }
    printf("%d good runs\n", good);
    return 0;
}
