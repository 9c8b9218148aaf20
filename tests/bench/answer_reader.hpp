// Reads the answers on one connection, as they come: head, length or chunked coding, and the events
// of a stream. Strict enough to tell a whole answer from a cut one; what is odd is `broken`, and
// fails the measurement.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace spillway::bench {

class AnswerReader {
 public:
  enum class State { reading, complete, broken };

  // Takes bytes of the current answer. Bytes beyond its end are `broken`, since nobody asked for
  // them.
  State take(std::string_view bytes);
  // Forgets the answer, for the next one on the connection.
  void reset();

  int status() const { return status_; }
  bool is_stream() const { return stream_; }
  // Whether `data: [DONE]` was seen.
  bool done() const { return done_; }
  // When the events that the last take() brought were sent; 0 where an event does not tell.
  const std::vector<std::uint64_t>& events() const { return events_; }

 private:
  enum class Part { head, sized, chunk_size, chunk_data, chunk_end, trailer, end };

  bool take_head(std::string_view& bytes);
  void read_head();
  // Moves a line into line_, without its end; false if it is not complete.
  bool take_line(std::string_view& bytes);
  bool take_chunk_line();
  void take_data(std::string_view data);
  void take_event_line(std::string_view line);

  Part part_ = Part::head;
  std::string head_;
  std::string line_;        // of the framing
  std::string event_line_;  // of the stream
  std::uint64_t left_ = 0;  // of the body, or of a chunk
  int status_ = 0;
  bool stream_ = false;
  bool done_ = false;
  std::vector<std::uint64_t> events_;
};

}  // namespace spillway::bench
