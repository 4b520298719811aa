// SPDX-License-Identifier: Apache-2.0
#include "export/demangle.h"

#include <string>

#include "gtest/gtest.h"

namespace curg::internal {
namespace {

TEST(Demangle, ItaniumNamesOnly) {
  EXPECT_EQ(Demangle("_ZN2ns1fEi"), "ns::f(int)");
  EXPECT_EQ(Demangle("_ZNK2ns1SclERKi"), "ns::S::operator()(int const&) const");
  EXPECT_EQ(Demangle("main"), "main");
  EXPECT_EQ(Demangle("i"), "i") << "not the mangled name of int";
  EXPECT_EQ(Demangle("_Znotmangled"), "_Znotmangled");
  EXPECT_EQ(Demangle(""), "");
}

TEST(Demangle, SimplifyName) {
  const struct {
    const char* in;
    const char* out;
  } kCases[] = {
      {"main", "main"},
      {"ns::f(int)", "ns::f"},
      {"ns::C::f(int (*)(char), std::pair<int, int>) const", "ns::C::f"},
      {"ns::C::f() const &", "ns::C::f"},
      {"ns::C::f() volatile &&", "ns::C::f"},
      {"void ns::f<int>(int)", "ns::f<int>"},
      {"std::vector<int, std::allocator<int> > ns::f<int>(int)", "ns::f<int>"},
      {"ns::f<(ns::E)3>()", "ns::f<(ns::E)3>"},
      {"bool ns::f<(1 > 0)>(int)", "ns::f<(1 > 0)>"},
      {"ns::(anonymous namespace)::f(int)", "ns::(anonymous namespace)::f"},
      {"(anonymous namespace)::f()", "(anonymous namespace)::f"},
      {"void (anonymous namespace)::f<int>()", "(anonymous namespace)::f<int>"},
      {"ns::S::operator()(int) const", "ns::S::operator()"},
      {"ns::S::operator()", "ns::S::operator()"},
      {"bool ns::operator< <int>(ns::S<int>, int)", "ns::operator< <int>"},
      {"std::ostream& ns::operator<<(std::ostream&, ns::S const&)", "ns::operator<<"},
      {"ns::S::operator->() const", "ns::S::operator->"},
      {"ns::S::operator<=>(ns::S const&) const", "ns::S::operator<=>"},
      {"ns::S::operator bool() const", "ns::S::operator bool"},
      {"ns::S::operator unsigned long() const", "ns::S::operator unsigned long"},
      {"operator new(unsigned long)", "operator new"},
      {"operator delete[](void*)", "operator delete[]"},
      {"ns::my_operator(int)", "ns::my_operator"},
      {"ns::operators::f(int)", "ns::operators::f"},
      {"f(int)::{lambda(char)#1}::operator()(char) const", "f(int)::{lambda(char)#1}::operator()"},
      {"ns::C::f() const::{lambda()#2}::operator()() const",
       "ns::C::f() const::{lambda()#2}::operator()"},
      {"auto f()::{lambda(auto:1)#1}::operator()<int>(int) const",
       "f()::{lambda(auto:1)#1}::operator()<int>"},
      {"ns::f(int) [clone .cold]", "ns::f"},
      {"ns::f(int) const [clone .isra.0] [clone .part.1]", "ns::f"},
      {"decltype (x->y()) ns::f<A>(A)", "ns::f<A>"},
      {"ns::~C()", "ns::~C"},
      {"", ""},
      {")", ")"},
      {"()", "()"},
      {"> > <", "> > <"},
  };
  for (const auto& [in, out] : kCases) EXPECT_EQ(SimplifyName(in), out) << in;
}

TEST(Demangle, ElideArguments) {
  EXPECT_EQ(ElideArguments("f<aaaaaaaa>::g<bbbb>(cccccc)::{lambda(int)#1}::operator()", 50),
            "f<...>::g<bbbb>(...)::{lambda(int)#1}::operator()");
  EXPECT_EQ(ElideArguments("(anonymous namespace)::f<int>", 5), "(anonymous namespace)::f<int>");
  EXPECT_EQ(ElideArguments("(anonymous namespace)::f<long>", 5), "(anonymous namespace)::f<...>");
  EXPECT_EQ(ElideArguments("f<A<B<C> >, (1 > 0)>::operator-><D>", 24), "f<...>::operator-><D>");
  EXPECT_EQ(ElideArguments("no_arguments_at_all", 5), "no_arguments_at_all");
}

TEST(Demangle, ReadableName) {
  EXPECT_EQ(ReadableName("_ZN2ns1fIiEEvT_"), "ns::f<int>");
  EXPECT_EQ(
      ReadableName("_ZNSt3mapINSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEElSt4lessIS5_"
                   "ESaISt4pairIKS5_lEEEixERS9_"),
      "std::map<...>::operator[]");
  EXPECT_EQ(ReadableName("qsort"), "qsort");
  // A coroutine's body, which gcc makes a function of its own.
  EXPECT_EQ(ReadableName("_ZN3app5FetchEPZNS_5FetchEiE21_ZN3app5FetchEi.Frame.actor"),
            "app::Fetch");
}

TEST(Demangle, ShortenName) {
  const std::string map = "std::map<int, std::vector<long, A>, B>::find<K>(int)";
  EXPECT_EQ(ShortenName(map, 100), map);
  EXPECT_EQ(ShortenName(map, 51), "std::map<...>::find<K>(int)");
  EXPECT_EQ(ShortenName(map, 27), "std::map<...>::find<K>(int)");
  EXPECT_EQ(ShortenName(map, 22).size(), 22u);
  EXPECT_EQ(ShortenName("ns::f<aaaaaaaaaa>::g<bbbb>", 20), "ns::f<...>::g<bbbb>");
  EXPECT_EQ(ShortenName("ns::operator<< <aaaaaaaaaa>", 22), "ns::operator<< <...>");
  EXPECT_EQ(ShortenName("a_very_long_function_name", 13), "a_v...on_name");
  EXPECT_EQ(ShortenName("abcdef", 3), "abc");
  EXPECT_EQ(ShortenName("ééééééé", 7), "ééééééé") << "columns, not bytes";
  EXPECT_EQ(ShortenName("ééééééé", 6), "é...éé");
}

}  // namespace
}  // namespace curg::internal
