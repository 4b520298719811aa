// SPDX-License-Identifier: Apache-2.0
#include "export/http/io_thread.h"

#include <pthread.h>
#include <signal.h>

namespace curg::internal {
namespace {

// The program's signals are for its own threads. SIGPROF stays: the thread's CPU time is the process's.
void BlockSignals() {
  sigset_t signals;
  sigfillset(&signals);
  for (const int signal : {SIGPROF, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT}) {
    sigdelset(&signals, signal);
  }
  pthread_sigmask(SIG_SETMASK, &signals, nullptr);
}

}  // namespace

IoThread::IoThread() : context_(1), work_(boost::asio::make_work_guard(context_)) {
  thread_ = std::thread([this] {
    BlockSignals();
    pthread_setname_np(pthread_self(), "curg-debug");
    context_.run();
  });
}

IoThread::~IoThread() {
  work_.reset();
  thread_.join();
}

}  // namespace curg::internal
