// Strings that are no longer needed, in objects that are.
#pragma once

#include <string>

namespace spillway {

// Empties `text` and frees its memory, which assigning an empty string would keep.
inline void free_text(std::string& text) {
  std::string().swap(text);
}

}  // namespace spillway
