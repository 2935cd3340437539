#include <fstream>
#include <iostream>
#include <string>

int main() {
    std::string host;
    std::ifstream("/etc/hostname") >> host;
    std::cout << "Hello from C++ (" << HELLO_COMPILER << "): built on "
              << HELLO_BUILD_HOST << ", running on " << host << '\n';
}
