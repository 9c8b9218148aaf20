# Writes a C++ file that carries providers.json: cmake -DINPUT=providers.json -DOUTPUT=out.cpp -P config/embed.cmake
# An array of bytes, because compilers bound the length of string literals.
if(NOT INPUT OR NOT OUTPUT)
  message(FATAL_ERROR "usage: cmake -DINPUT=FILE -DOUTPUT=FILE -P embed.cmake")
endif()
file(READ "${INPUT}" hex HEX)
string(LENGTH "${hex}" digits)
math(EXPR size "${digits} / 2")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
# Lines of eight bytes.
string(REGEX REPLACE "(0x[0-9a-f][0-9a-f],0x[0-9a-f][0-9a-f],0x[0-9a-f][0-9a-f],0x[0-9a-f][0-9a-f],0x[0-9a-f][0-9a-f],0x[0-9a-f][0-9a-f],0x[0-9a-f][0-9a-f],0x[0-9a-f][0-9a-f],)" "    \\1\n" bytes "${bytes}")
file(WRITE "${OUTPUT}" "// Generated from providers.json by config/embed.cmake.
#include \"config/providers.hpp\"

namespace spillway::config {

namespace {

constexpr unsigned char kProviders[] = {
${bytes}
};

}  // namespace

std::string_view embedded_providers() {
  return {reinterpret_cast<const char*>(kProviders), ${size}};
}

}  // namespace spillway::config
")
