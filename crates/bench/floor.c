/*
 * The floor of a sandbox's cold start: what the kernel itself takes to isolate one command, with nothing around it.
 *
 * Each byte on standard input makes one round: all namespaces, a user mapping, a root directory in memory with the system's own
 * directories bound read-only, /proc, an overlay over a workspace, loopback up, pivot_root(2), execve(2) of `true`. The round's
 * microseconds, from before clone(2) until the command has been waited for, go to standard output, one number a line. There is no system call filter, no control
 * group, no limit and no protocol: a sandbox that one could use has to do more than this.
 *
 * Use: floor DIRECTORY, where DIRECTORY has the directories lower, upper, work and root. Build: cc -O2 -o floor floor.c
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *directory;

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		err(1, "%s", path);
	close(fd);
}

static void bind_read_only(const char *path, const char *to)
{
	struct mount_attr attributes = { .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID };
	if (mkdir(to, 0755) || mount(path, to, NULL, MS_BIND | MS_REC, NULL))
		err(1, "bind %s", path);
	if (syscall(SYS_mount_setattr, AT_FDCWD, to, AT_RECURSIVE, &attributes, sizeof attributes))
		err(1, "make %s read-only", path);
}

/* /bin, /lib and the like are links into /usr on most systems, and directories on the others. */
static void show(const char *path)
{
	char target[256], to[64];
	struct stat found;
	snprintf(to, sizeof to, ".%s", path);
	if (lstat(path, &found))
		return;
	if (S_ISDIR(found.st_mode)) {
		bind_read_only(path, to);
		return;
	}
	ssize_t length = readlink(path, target, sizeof target - 1);
	if (length < 0)
		err(1, "%s", path);
	target[length] = 0;
	if (symlink(target, to))
		err(1, "link %s", to);
}

static void loopback_up(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request))
		err(1, "loopback");
	close(fd);
}

static void become_sandbox(void)
{
	static const char *const shown[] = { "/usr", "/etc", "/bin", "/sbin", "/lib", "/lib64" };
	char options[4096], root[4096];
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		err(1, "private mounts");
	snprintf(root, sizeof root, "%s/root", directory);
	if (mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755") || chdir(root))
		err(1, "root");
	for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
		show(shown[i]);
	if (mkdir("proc", 0755) || mkdir("tmp", 0777) || mkdir("workspace", 0755))
		err(1, "mkdir");
	if (mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL))
		err(1, "proc");
	if (mount("tmpfs", "tmp", "tmpfs", MS_NOSUID | MS_NODEV, NULL))
		err(1, "tmp");
	snprintf(options, sizeof options, "lowerdir=%1$s/lower,upperdir=%1$s/upper,workdir=%1$s/work,userxattr", directory);
	if (mount("overlay", "workspace", "overlay", MS_NOSUID | MS_NODEV, options))
		err(1, "overlay");
	loopback_up();
	if (syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) || chdir("/workspace"))
		err(1, "pivot_root");
	execl("/bin/true", "true", NULL);
	err(1, "/bin/true");
}

static double micros(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

static double one_round(void)
{
	const unsigned long all = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC |
				  CLONE_NEWUTS | CLONE_NEWCGROUP | SIGCHLD;
	int go[2], status;
	char path[64], map[64];
	double started = micros();
	if (pipe2(go, O_CLOEXEC))
		err(1, "pipe");
	pid_t child = syscall(SYS_clone, all, NULL, NULL, NULL, NULL);
	if (child < 0)
		err(1, "clone (are user namespaces allowed?)");
	if (child == 0) {
		char byte;
		if (read(go[0], &byte, 1) != 1)
			_exit(1);
		become_sandbox();
	}
	snprintf(path, sizeof path, "/proc/%d/setgroups", child);
	put(path, "deny");
	snprintf(path, sizeof path, "/proc/%d/uid_map", child);
	snprintf(map, sizeof map, "0 %u 1", getuid());
	put(path, map);
	snprintf(path, sizeof path, "/proc/%d/gid_map", child);
	snprintf(map, sizeof map, "0 %u 1", getgid());
	put(path, map);
	if (write(go[1], "", 1) != 1)
		err(1, "go");
	close(go[0]);
	close(go[1]);
	if (waitpid(child, &status, 0) != child || status != 0)
		errx(1, "the command ended with status %d", status);
	return micros() - started;
}

int main(int argc, char **argv)
{
	if (argc != 2)
		errx(2, "use: floor DIRECTORY");
	directory = argv[1];
	while (getchar() != EOF) {
		printf("%.1f\n", one_round());
		fflush(stdout);
	}
	return 0;
}
