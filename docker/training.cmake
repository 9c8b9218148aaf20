# The release program is compiled by what an earlier build of it did under the benchmark's load: a fifth fewer
# instructions a request. docker/training/ keeps those notes for the compilers that the image and Debian 12 have;
# `make training` makes them anew. Any other compiler, and functions that were changed since, do without.

set(training_options)
set(training_link_options)
if(SPILLWAY_TRAINING AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  string(REGEX MATCH "^[0-9]+\\.[0-9]+" release ${CMAKE_CXX_COMPILER_VERSION})
  set(notes ${CMAKE_SOURCE_DIR}/docker/training/gcc-${release}.tar.xz)
  # Functions that only one file sees are told apart by the name that the file was compiled by.
  file(RELATIVE_PATH to_sources ${CMAKE_BINARY_DIR} ${CMAKE_SOURCE_DIR})
  list(PREPEND CMAKE_CXX_COMPILER_LAUNCHER
       ${CMAKE_SOURCE_DIR}/docker/compile_relative.sh ${CMAKE_SOURCE_DIR} ${to_sources})
  if(SPILLWAY_TRAINING STREQUAL "record")
    set(training_link_options -fprofile-generate=${CMAKE_BINARY_DIR}/training)
    set(training_options ${training_link_options} -fprofile-update=atomic)
  elseif(EXISTS ${notes})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${notes})
    set(folder ${CMAKE_BINARY_DIR}/training)
    file(REMOVE_RECURSE ${folder})
    file(ARCHIVE_EXTRACT INPUT ${notes} DESTINATION ${folder})
    # The compiler looks for a note by the whole path of what it compiles to, ccache by its path from here.
    file(GLOB_RECURSE found RELATIVE ${folder} ${folder}/*.gcda)
    foreach(note IN LISTS found)
      string(REPLACE "/" "#" mangled "${CMAKE_BINARY_DIR}/${note}")
      file(CREATE_LINK ${note} "${folder}/${mangled}" SYMBOLIC)
    endforeach()
    # What was not reached is compiled as ever, an option that ccache does not know.
    set(training_link_options -fprofile-use=training)
    set(training_options ${training_link_options} -fprofile-correction -Wno-missing-profile -Wno-coverage-mismatch
        $<$<BOOL:${CCACHE}>:--ccache-skip> -fprofile-partial-training)
  endif()
endif()
