// Operations one after another, as one: a network, without anything between its layers.
//
// Values between the steps live in one piece of memory, in which those that are not alive at once overlap. Where all
// steps compute pictures one by one, few pictures at a time go through several steps, so that what is between them stays
// in the caches of the cores: wide layers take fewer pictures, and narrow ones more, whose weights are then read less
// often.
#pragma once
#include <unistd.h>

#include <algorithm>

#include "operation.hpp"
#include "plans.hpp"

// Values have numbers: first those of the inputs, then those of the constants, then the outputs of each step.
struct Step {
    std::string label;
    std::unique_ptr<Operation> operation;
    std::vector<size_t> inputs;
    std::vector<size_t> outputs = {};
};

class Program : public Operation {
public:
    // `constants`, of float32, are read whenever it runs: their memory is the caller's.
    Program(std::vector<Step> given, size_t input_count, Tensors constants, std::vector<size_t> results)
        : steps(std::move(given)),
          input_count(input_count),
          constants(std::move(constants)),
          results(std::move(results)) {
        widths.assign(input_count, 0);
        widths.resize(input_count + this->constants.size(), 4);
        arguments.assign(input_count, {4, any_axes});
        for (Step &step : steps) {
            Arguments read = step.operation->inputs(step.inputs.size());
            require(read.size() == step.inputs.size(), step.label + " reads " + std::to_string(read.size()) +
                                                           " input(s), got " + std::to_string(step.inputs.size()));
            for (size_t i = 0; i < read.size(); ++i) connect(step, step.inputs[i], read[i]);
            for (int width : step.operation->output_widths()) {
                step.outputs.push_back(widths.size());
                widths.push_back(width);
            }
        }
        for (auto result = this->results.begin(); result != this->results.end(); ++result)
            require(*result >= input_count + this->constants.size() && *result < widths.size() &&
                        std::find(this->results.begin(), result, *result) == result,
                    "a result is what a step computes, and each is another");
        for (size_t i = 0; i < steps.size(); ++i) absorb(i);
        prepared.assign(steps.size(), {0, 0});
    }

    Arguments inputs(size_t) const override { return arguments; }

    std::vector<int> output_widths() const override {
        std::vector<int> all;
        for (size_t result : results) all.push_back(widths[result]);
        return all;
    }

    std::vector<Shape> output_shapes(const Tensors &in) override {
        Shape key;
        for (const Tensor &input : in) {
            key.push_back(input.shape.size());
            key.insert(key.end(), input.shape.begin(), input.shape.end());
        }
        if (key != shapes_key || shapes.empty()) {
            shapes_key.clear();
            infer(in);
            shapes_key = key;
        }
        std::vector<Shape> all;
        for (size_t result : results) all.push_back(shapes[result]);
        return all;
    }

    void prepare(const Tensors &in, const Tensors &out) override {
        plans.get(shapes_key, [&] { return make_plan(); });
        for (size_t s = plans.last()->segments.size(); s-- > 0;)
            for (size_t variant = plans.last()->segments[s].calls.size(); variant-- > 0;)
                prepare_calls(*plans.last(), s, variant, in, out);
    }

    void run(const Tensors &in, const Tensors &out) override {
        Plan &plan = *plans.last();
        for (size_t s = 0; s < plan.segments.size(); ++s) {
            const Segment &segment = plan.segments[s];
            dnnl_dim_t first = 0;
            do {
                const size_t variant = plan.count - first >= segment.many ? 0 : 1;
                prepare_calls(plan, s, variant, in, out);
                for (Call &call : plan.segments[s].calls[variant]) {
                    point(call, plan, first, in, out);
                    steps[call.step].operation->run(call.in, call.out);
                }
                first += segment.many;
            } while (first < plan.count);
        }
    }

    std::vector<std::string> implementations() const override {
        std::vector<std::string> all;
        for (const Step &step : steps)
            for (std::string &name : step.operation->implementations()) all.push_back(std::move(name));
        return all;
    }

private:
    enum class Kind { input, constant, memory, result };

    // Where a value is, and how far apart its pictures are if all of them are there.
    struct Place {
        Kind kind = Kind::memory;
        size_t at = 0;  // which input, constant or result, or an offset in bytes
        size_t stride = 0;
    };

    struct Call {
        size_t step;
        Tensors in, out;
    };

    // Steps that so many pictures go through before the next ones; the second calls are of those that are left over.
    struct Segment {
        size_t first, last;  // this one excluded
        dnnl_dim_t many;
        std::vector<std::vector<Call>> calls;
    };

    struct Plan {
        dnnl_dim_t count = 0;  // of pictures
        std::vector<Place> places;
        std::vector<Segment> segments;
        size_t bytes = 0;
        size_t number = 0;
    };

    void connect(const Step &step, size_t value, Argument read) {
        require(value < widths.size(), step.label + " reads a value that is not computed before it");
        if (value >= input_count) {
            require(widths[value] == read.width, step.label + " reads values of another width");
            return;
        }
        Argument &argument = arguments[value];
        require(!widths[value] || widths[value] == read.width, step.label + " reads an input in another width");
        widths[value] = argument.width = read.width;
        if (argument.axes == any_axes) argument.axes = read.axes;
    }

    // Lets a step do also what alone reads its output.
    void absorb(size_t i) {
        const size_t output = steps[i].outputs[0];
        const auto reads = [&](const Step &step) {
            return std::find(step.inputs.begin(), step.inputs.end(), output) != step.inputs.end();
        };
        const auto reader = std::find_if(steps.begin(), steps.end(), reads);
        if (steps[i].outputs.size() != 1 || std::find(results.begin(), results.end(), output) != results.end()) return;
        if (reader == steps.end() || reader->inputs.size() != 1 || std::count_if(steps.begin(), steps.end(), reads) != 1)
            return;
        if (!steps[i].operation->absorb(reader->operation)) return;
        steps[i].label += " and " + reader->label;
        steps[i].outputs = reader->outputs;
        steps.erase(reader);
    }

    void infer(const Tensors &in) {
        shapes.assign(widths.size(), {});
        for (size_t i = 0; i < in.size(); ++i) shapes[i] = in[i].shape;
        for (size_t i = 0; i < constants.size(); ++i) shapes[input_count + i] = constants[i].shape;
        for (Step &step : steps) {
            Tensors read = tensors(step.inputs);
            try {
                const Arguments expected = step.operation->inputs(read.size());
                for (size_t i = 0; i < read.size(); ++i)
                    require(expected[i].axes == any_axes || size_t(expected[i].axes) == read[i].shape.size(),
                            "an input has another number of axes than " + std::to_string(expected[i].axes));
                std::vector<Shape> made = step.operation->output_shapes(read);
                for (size_t i = 0; i < made.size(); ++i) shapes[step.outputs[i]] = made[i];
            } catch (const std::invalid_argument &error) {
                std::string message = step.label + ": " + error.what() + " [";
                for (size_t i = 0; i < read.size(); ++i)
                    message += (i ? "; input " : "input ") + std::to_string(i) + " shape " + text(read[i].shape);
                throw std::invalid_argument(message + "]");
            }
        }
    }

    // Their shapes are known, and their memory is not yet.
    Tensors tensors(const std::vector<size_t> &values) const {
        Tensors all;
        for (size_t value : values) all.push_back({nullptr, shapes[value]});
        return all;
    }

    size_t bytes_of(size_t value) const {
        size_t bytes = widths[value];
        for (dnnl_dim_t length : shapes[value])
            if (__builtin_mul_overflow(bytes, size_t(length), &bytes) || bytes > MOST_BYTES) throw std::bad_alloc();
        return bytes;
    }

    // ---- plans ---------------------------------------------------------------------------------------------------------

    std::unique_ptr<Plan> make_plan() {
        std::unique_ptr<Plan> plan(new Plan);
        plan->number = ++made_plans;
        const std::vector<bool> pictures = values_of_pictures();
        plan->count = pictures.empty() ? 1 : count_of(pictures);
        plan->segments = segments_of(pictures, plan->count);
        place(*plan, pictures);
        for (Segment &segment : plan->segments) make_calls(*plan, segment, pictures);
        return plan;
    }

    // Which values have pictures on their first axis, or nothing where it is not pictures that steps compute one by one.
    std::vector<bool> values_of_pictures() const {
        std::vector<bool> are(widths.size(), false), are_not(widths.size(), false);
        for (const Step &step : steps) {
            const std::vector<bool> read = step.operation->pictures(step.inputs.size());
            if (std::find(read.begin(), read.end(), true) == read.end()) return {};
            for (size_t i = 0; i < read.size(); ++i) (read[i] ? are : are_not)[step.inputs[i]] = true;
            for (size_t output : step.outputs) are[output] = true;
        }
        for (size_t value = 0; value < widths.size(); ++value)
            if (are[value] && (are_not[value] || is_constant(value) || shapes[value].empty())) return {};
        const dnnl_dim_t count = count_of(are);
        for (size_t value = 0; value < widths.size(); ++value)
            if (are[value] && shapes[value][0] != count) return {};
        if (count < 1) return {};
        return are;
    }

    bool is_constant(size_t value) const { return value >= input_count && value < input_count + constants.size(); }

    dnnl_dim_t count_of(const std::vector<bool> &pictures) const {
        const size_t any = std::find(pictures.begin(), pictures.end(), true) - pictures.begin();
        return any < shapes.size() && !shapes[any].empty() ? shapes[any][0] : 0;
    }

    std::vector<Segment> segments_of(const std::vector<bool> &pictures, dnnl_dim_t count) const {
        if (pictures.empty() || count == 1) return {{0, steps.size(), 1, {}}};
        std::vector<dnnl_dim_t> fitting;
        for (const Step &step : steps) fitting.push_back(fitting_pictures(step, pictures, count));
        std::vector<Segment> segments;
        for (size_t i = 0; i < steps.size(); ++i) {
            // A step or two that could take more between others that cannot are not worth a pass of their own
            const auto begin = fitting.begin() + (i < NEAR ? 0 : i - NEAR);
            const auto end = fitting.begin() + std::min(i + NEAR + 1, steps.size());
            const dnnl_dim_t many = *std::min_element(begin, end);
            if (segments.empty() || segments.back().many != many) segments.push_back({i, i, many, {}});
            segments.back().last = i + 1;
        }
        return segments;
    }

    // How many pictures, a power of two or all of them, have the values of a step in the caches.
    dnnl_dim_t fitting_pictures(const Step &step, const std::vector<bool> &pictures, dnnl_dim_t count) const {
        size_t bytes = 0;
        for (const std::vector<size_t> *values : {&step.inputs, &step.outputs})
            for (size_t value : *values)
                if (pictures[value]) bytes += bytes_of(value) / count;
        dnnl_dim_t many = 1;
        while (many < count && size_t(2 * many) * bytes <= cache_bytes()) many *= 2;
        return std::min(many, count);
    }

    // Twice what the cores have to themselves, together: what a step has read may go while it writes. (Half of this, or
    // twice as much, is slower.)
    static size_t cache_bytes() {
        const long known = sysconf(_SC_LEVEL2_CACHE_SIZE);
        return 2 * size_t(known > 0 ? known : 1 << 20) * omp_get_max_threads();
    }

    void place(Plan &plan, const std::vector<bool> &pictures) const {
        const size_t first = input_count + constants.size();
        plan.places.resize(widths.size());
        for (size_t i = 0; i < first; ++i)
            plan.places[i] = i < input_count ? Place{Kind::input, i, stride_of(i, pictures, plan.count)}
                                             : Place{Kind::constant, i - input_count, 0};
        std::vector<bool> is_result(widths.size(), false);
        for (size_t i = 0; i < results.size(); ++i) {
            is_result[results[i]] = true;
            plan.places[results[i]] = {Kind::result, i, stride_of(results[i], pictures, plan.count)};
        }
        std::vector<Life> lives = lives_of(plan, is_result);
        Memory memory;
        for (size_t i = 0; i < steps.size(); ++i)
            for (size_t output : steps[i].outputs) {
                if (is_result[output]) continue;
                Life &life = lives[output];
                const bool is_whole = life.crosses || pictures.empty();
                const dnnl_dim_t many = is_whole ? plan.count : life.segment->many;
                Place &place = plan.places[output];
                place.stride = life.crosses && !pictures.empty() ? stride_of(output, pictures, plan.count) : 0;
                const size_t bytes = pictures.empty() ? bytes_of(output) : bytes_of(output) / plan.count * many;
                const size_t replaced = replaced_by(i, output, lives, plan, is_result);
                if (replaced) {
                    place.at = plan.places[replaced].at;
                    memory.extend(place.at, life.end);
                } else {
                    place.at = memory.take(bytes, life.begin, life.end);
                }
            }
        plan.bytes = memory.bytes;
    }

    size_t stride_of(size_t value, const std::vector<bool> &pictures, dnnl_dim_t count) const {
        return !pictures.empty() && pictures[value] ? bytes_of(value) / count : 0;
    }

    // The steps from the first to the last that a value is alive in.
    struct Life {
        size_t begin = 0, end = 0;
        bool crosses = false;  // from one segment to another: then all pictures are there at once
        const Segment *segment = nullptr;
    };

    std::vector<Life> lives_of(const Plan &plan, const std::vector<bool> &is_result) const {
        std::vector<Life> lives(widths.size());
        std::vector<const Segment *> segment_of;
        for (const Segment &segment : plan.segments)
            for (size_t i = segment.first; i < segment.last; ++i) segment_of.push_back(&segment);
        for (size_t i = 0; i < steps.size(); ++i) {
            for (size_t output : steps[i].outputs) lives[output] = {i, i, false, segment_of[i]};
            for (size_t input : steps[i].inputs) {
                Life &life = lives[input];
                if (!life.segment) continue;  // none of this program's
                life.end = i;
                life.crosses = life.crosses || life.segment != segment_of[i];
            }
        }
        for (Life &life : lives)
            if (life.crosses) {
                life.begin = life.segment->first;
                life.end = segment_of[life.end]->last - 1;
            }
        return lives;
    }

    // The value, or 0, that the output of a step may overwrite: nobody reads it afterwards.
    size_t replaced_by(size_t i, size_t output, const std::vector<Life> &lives, const Plan &plan,
                       const std::vector<bool> &is_result) const {
        const int index = steps[i].operation->replaced();
        if (index < 0) return 0;
        const size_t value = steps[i].inputs.at(index);
        const bool is_inner = value >= input_count + constants.size() && !is_result[value];
        const auto uses = std::count(steps[i].inputs.begin(), steps[i].inputs.end(), value);
        const bool fits = bytes_of(value) == bytes_of(output) && lives[value].crosses == lives[output].crosses;
        return is_inner && uses == 1 && lives[value].end == i && fits && !lives[value].crosses ? value : 0;
    }

    // Pieces of one block for values that are alive at different times, each at the lowest place that is free.
    struct Memory {
        struct Piece {
            size_t at, bytes, begin, end;
        };
        std::vector<Piece> pieces = {};
        size_t bytes = 0;

        size_t take(size_t wanted, size_t begin, size_t end) {
            wanted = (wanted + alignment) / alignment * alignment;
            std::sort(pieces.begin(), pieces.end(), [](const Piece &a, const Piece &b) { return a.at < b.at; });
            size_t at = 0;
            for (const Piece &piece : pieces) {
                if (piece.end < begin || piece.begin > end) continue;
                if (at + wanted <= piece.at) break;
                at = std::max(at, piece.at + piece.bytes);
            }
            pieces.push_back({at, wanted, begin, end});
            bytes = std::max(bytes, at + wanted);
            return at;
        }

        void extend(size_t at, size_t end) {
            Piece *newest = nullptr;
            for (Piece &piece : pieces)
                if (piece.at == at && (!newest || piece.end > newest->end)) newest = &piece;
            newest->end = std::max(newest->end, end);
        }
    };

    void make_calls(const Plan &plan, Segment &segment, const std::vector<bool> &pictures) const {
        const dnnl_dim_t left = plan.count % segment.many;
        segment.calls.resize(left ? 2 : 1);
        for (size_t variant = 0; variant < segment.calls.size(); ++variant)
            for (size_t i = segment.first; i < segment.last; ++i) {
                Call call{i, tensors(steps[i].inputs), tensors(steps[i].outputs)};
                const dnnl_dim_t many = variant ? left : segment.many;
                auto cut = [&](const std::vector<size_t> &values, Tensors &all) {
                    for (size_t k = 0; k < values.size(); ++k)
                        if (!pictures.empty() && pictures[values[k]]) all[k].shape[0] = many;
                };
                cut(steps[i].inputs, call.in);
                cut(steps[i].outputs, call.out);
                segment.calls[variant].push_back(std::move(call));
            }
    }

    // ---- running -------------------------------------------------------------------------------------------------------

    void prepare_calls(Plan &plan, size_t segment, size_t variant, const Tensors &in, const Tensors &out) {
        const std::pair<size_t, size_t> wanted{plan.number, variant};
        for (Call &call : plan.segments[segment].calls[variant]) {
            if (prepared[call.step] == wanted) continue;
            prepared[call.step] = {0, 0};
            point(call, plan, 0, in, out);
            steps[call.step].operation->prepare(call.in, call.out);
            prepared[call.step] = wanted;
        }
    }

    // Let a call's tensors be those from the picture `first` on.
    void point(Call &call, const Plan &plan, dnnl_dim_t first, const Tensors &in, const Tensors &out) {
        if (plan.bytes > capacity) {
            memory.reset();
            capacity = 0;
            memory = block<char>(plan.bytes);
            capacity = plan.bytes;
        }
        auto all = [&](const std::vector<size_t> &values, Tensors &tensors) {
            for (size_t i = 0; i < values.size(); ++i) {
                const Place &place = plan.places[values[i]];
                char *base = static_cast<char *>(place.kind == Kind::input      ? in[place.at].data
                                                 : place.kind == Kind::constant ? constants[place.at].data
                                                 : place.kind == Kind::result   ? out[place.at].data
                                                                                : memory.get() + place.at);
                tensors[i].data = base + first * place.stride;
            }
        };
        all(steps[call.step].inputs, call.in);
        all(steps[call.step].outputs, call.out);
    }

    // No machine has more, and sums of such numbers do not overflow.
    static constexpr size_t MOST_BYTES = size_t(1) << 48;
    // Steps on either side of one that are looked at for how many pictures go through it at a time.
    static constexpr size_t NEAR = 3;

    std::vector<Step> steps;
    size_t input_count;
    Tensors constants;
    std::vector<size_t> results;
    std::vector<int> widths;
    Arguments arguments;
    std::vector<Shape> shapes;
    Shape shapes_key;
    Plans<Plan> plans;
    size_t made_plans = 0;
    std::vector<std::pair<size_t, size_t>> prepared;  // for which plan and calls each step is
    Block<char> memory;
    size_t capacity = 0;
};
