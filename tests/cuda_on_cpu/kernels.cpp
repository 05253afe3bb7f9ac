// NVRTC and the driver's part that launches: kernels are compiled by g++ and run on the CPU, one thread at a time.
//
// What NVRTC would give back as a cubin is a shared library: a line that says so, its size, and its bytes.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <fstream>
#include <iterator>
#include <mutex>
#include <regex>
#include <string>
#include <vector>

namespace {
const std::string MARK = "// a shared library in place of a cubin\n";

struct Program {
  std::string source, log, code;
};

std::string scratch() {
  const char *folder = getenv("TMPDIR");
  return std::string(folder ? folder : "/tmp") + "/cuda-on-cpu-XXXXXX";
}

std::string read(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// The source with a function for each of its kernels, of one signature, that launches it.
std::string with_launchers(std::string text) {
  static const std::regex dynamic(R"(extern\s+__shared__\s+(?:__align__\([^)]*\)\s*)?(\w+)\s+(\w+)\s*\[\s*\]\s*;)");
  static const std::regex kernel(
      R"~(extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?(\w+)\s*\()~");
  static const std::regex waits("__syncthreads|__syncwarp|__shfl");
  std::string waiting = std::regex_search(text, waits) ? "true" : "false", launchers;
  text = std::regex_replace(text, dynamic, "$1 *$2 = reinterpret_cast<$1 *>(shared_memory);");
  for (std::sregex_iterator found(text.begin(), text.end(), kernel), end; found != end; ++found)
    launchers += "LAUNCHER(" + (*found)[1].str() + ", " + waiting + ")\n";
  return launchers.empty() ? "" : text + "\n" + launchers;
}
}  // namespace

extern "C" {
int nvrtcVersion(int *major, int *minor) { return *major = 13, *minor = 0, 0; }
const char *nvrtcGetErrorString(int) { return "g++ did not compile it"; }
int nvrtcCreateProgram(void **program, const char *source, const char *, int, const char **, const char **) {
  *program = new Program{source, "", ""};
  return 0;
}
int nvrtcDestroyProgram(void **program) {
  delete (Program *)*program;
  return 0;
}
int nvrtcCompileProgram(void *given, int count, const char **options) {
  Program &program = *(Program *)given;
  if (program.source.find("__global__") == std::string::npos) {  // CuPy asks so for the compiler's version
    program.code = MARK;
    return 0;
  }
  std::string text = with_launchers(program.source), at = scratch(), command = getenv("CUDA_ON_CPU_COMPILER");
  if (text.empty()) {
    program.log = "CUDA on the CPU: there are no kernels but those that begin with: extern \"C\" __global__ void";
    return 6;
  }
  if (!mkdtemp(at.data())) return 1;
  for (int i = 0; i < count; i++)
    if (!strncmp(options[i], "-I", 2) || !strncmp(options[i], "-D", 2)) command += std::string(" '") + options[i] + "'";
  std::ofstream(at + "/kernel.cpp") << text;
  int failed = system((command + " '" + at + "/kernel.cpp' -o '" + at + "/kernel.so' 2> '" + at + "/log'").c_str());
  program.log = read(at + "/log");
  if (!failed) {
    std::string library = read(at + "/kernel.so");
    size_t size = library.size();
    program.code = MARK + std::string((char *)&size, sizeof size) + library;
  }
  return system(("rm -r '" + at + "'").c_str()) || failed ? 6 : 0;
}
int nvrtcGetCUBINSize(void *program, size_t *size) { return *size = ((Program *)program)->code.size(), 0; }
int nvrtcGetCUBIN(void *program, char *code) {
  memcpy(code, ((Program *)program)->code.data(), ((Program *)program)->code.size());
  return 0;
}
int nvrtcGetPTXSize(void *program, size_t *size) { return nvrtcGetCUBINSize(program, size); }
int nvrtcGetPTX(void *program, char *code) { return nvrtcGetCUBIN(program, code); }
int nvrtcGetProgramLogSize(void *program, size_t *size) { return *size = ((Program *)program)->log.size() + 1, 0; }
int nvrtcGetProgramLog(void *program, char *log) { return strcpy(log, ((Program *)program)->log.c_str()), 0; }

int cuGetErrorName(int, const char **name) { return *name = "CUDA_ERROR", 0; }
int cuGetErrorString(int, const char **text) { return *text = "see what CUDA on the CPU has printed", 0; }
int cuCtxGetCurrent(void **context) { return *context = (void *)1, 0; }
int cuModuleUnload(void *) { return 0; }
int cuModuleLoadData(void **module, const char *image) {
  std::string path = scratch();
  size_t size;
  if (strncmp(image, MARK.c_str(), MARK.size())) return 200;
  int file = mkstemp(path.data());
  memcpy(&size, image + MARK.size(), sizeof size);
  bool written = write(file, image + MARK.size() + sizeof size, size) == (ssize_t)size;
  close(file);
  *module = written ? dlopen(path.c_str(), RTLD_NOW) : nullptr;
  if (!*module) fprintf(stderr, "CUDA on the CPU: %s\n", dlerror());
  unlink(path.c_str());
  return *module ? 0 : 200;
}
int cuModuleGetFunction(void **function, void *module, const char *name) {
  *function = dlsym(module, (std::string("launch_") + name).c_str());
  return *function ? 0 : 500;
}
}

// ---- the threads of a block, each with a stack, where they wait for each other

extern "C" {
void switch_stacks(void **from, void *to);
unsigned long long exchanged[1024];
}
asm(R"(
.text
.globl switch_stacks
.hidden switch_stacks
switch_stacks:
  push %rbp
  push %rbx
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp, (%rdi)
  mov %rsi, %rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbx
  pop %rbp
  ret
)");

namespace {
enum State { runs, waits_for_block, waits_for_warp, done };

struct Thread {
  void *stack;
  State state;
};

const size_t STACK = 256 << 10, GUARD = 4 << 10;
std::mutex launching;
std::vector<char *> stacks;
std::vector<Thread> threads;
size_t running;  // of the threads, in run_block
bool in_block = false;
void *scheduler;
void (*body)(void *);
void *argument;

void begin() {
  body(argument);
  threads[running].state = done;
  switch_stacks(&threads[running].stack, scheduler);
}

char *new_stack() {  // below it nothing can be written, so that one that is too small does not reach into another
  void *at = mmap(nullptr, GUARD + STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED || mprotect(at, GUARD, PROT_NONE)) abort();
  return (char *)at + GUARD;
}

bool all(size_t from, size_t to, State state) {
  for (size_t i = from; i < to; i++)
    if (threads[i].state != state && threads[i].state != done) return false;
  return true;
}

bool resume(size_t from, size_t to, State state) {
  bool any = false;
  for (size_t i = from; i < to; i++)
    if (threads[i].state == state) threads[i].state = runs, any = true;
  return any;
}
}  // namespace

extern "C" {
unsigned number_in_block() { return running; }
void wait_for(int whom) {
  if (!in_block) {
    fprintf(stderr, "CUDA on the CPU: a kernel waits for other threads in an included file, where it is not seen\n");
    abort();
  }
  Thread &me = threads[running];
  me.state = (State)whom;
  switch_stacks(&me.stack, scheduler);
}
void run_block(void (*kernel)(void *), void *of, const unsigned *block, unsigned *index) {
  size_t n = (size_t)block[0] * block[1] * block[2];
  body = kernel, argument = of;
  while (stacks.size() < n) stacks.push_back(new_stack());
  threads.clear();
  in_block = true;
  for (size_t i = 0; i < n; i++) {
    void **top = (void **)(stacks[i] + STACK) - 8;
    top[6] = (void *)begin;  // where the first switch returns to, with the stack as a call would leave it
    threads.push_back({top, runs});
  }
  while (!all(0, n, done)) {
    for (running = 0; running < n; running++) {
      if (threads[running].state != runs) continue;
      index[0] = running % block[0], index[1] = running / block[0] % block[1], index[2] = running / block[0] / block[1];
      switch_stacks(&scheduler, threads[running].stack);
    }
    if (all(0, n, done) || (all(0, n, waits_for_block) && resume(0, n, waits_for_block))) continue;
    bool any = false;
    for (size_t i = 0; i < n; i += 32) {
      size_t end = i + 32 < n ? i + 32 : n;
      any |= all(i, end, waits_for_warp) && resume(i, end, waits_for_warp);
    }
    if (!any) {
      fprintf(stderr, "CUDA on the CPU: the threads of a block wait for each other for ever\n");
      abort();
    }
  }
  in_block = false;
}

int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, void *, void **arguments, void **) {
  unsigned grid[] = {gx, gy, gz}, block[] = {bx, by, bz};
  if (!gx || !gy || !gz || !bx || !by || !bz || bx * by * bz > 1024) return 1;
  if (gy > 65535 || gz > 65535 || shared > 48 << 10) return 1;
  std::lock_guard<std::mutex> held(launching);
  ((void (*)(void **, const unsigned *, const unsigned *, size_t))function)(arguments, grid, block, shared);
  return 0;
}
}
