// The types of time. core/ never reads a clock: whoever calls it says what time it is, so that
// every decision can be replayed under a virtual clock.
#pragma once

#include <chrono>

namespace spillway {

using TimePoint = std::chrono::steady_clock::time_point;  // monotonic; deadlines and cooldowns
using Duration = std::chrono::steady_clock::duration;
using WallTime = std::chrono::system_clock::time_point;  // only to read HTTP dates

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

}  // namespace spillway
