// What was made for some shapes and a number of threads, kept for the next time.
#pragma once
#include <map>

#include "tensor.hpp"

template <class Plan>
class Plans {
public:
    // `make` is called where the key is new.
    template <class Make>
    Plan &get(Shape key, Make make) {
        key.push_back(omp_get_max_threads());
        auto found = plans.find(key);
        if (found == plans.end()) {
            if (plans.size() >= 8) plans.clear();
            found = plans.emplace(key, make()).first;
        }
        current = found->second.get();
        return *current;
    }
    Plan *last() const { return current; }

private:
    std::map<Shape, std::unique_ptr<Plan>> plans;
    Plan *current = nullptr;
};

inline Shape joined(const Shape &a, const Shape &b) {
    Shape both(a);
    both.insert(both.end(), b.begin(), b.end());
    return both;
}
