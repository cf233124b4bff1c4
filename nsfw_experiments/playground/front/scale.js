// The scale from safe to not safe, with a marker. People hear a number and a word.

const SAFE_BELOW = 0.2;
const UNSAFE_ABOVE = 0.8;

function wordFor(score) {
  if (score < SAFE_BELOW) return "probably safe";
  if (score > UNSAFE_ABOVE) return "probably not safe for work";
  return "where you draw the line";
}

// Four digits, and more where all of them would be zeros or nines.
function digits(score) {
  return score < 0.0005 || score > 0.9995 ? score.toFixed(6) : score.toFixed(4);
}

function makeScale(place, label) {
  place.insertAdjacentHTML("afterbegin", `
    <div class="scale" role="meter" aria-label="${label}" aria-valuemin="0" aria-valuemax="1" aria-valuenow="0" aria-valuetext="no score yet">
      <div class="track"><i class="marker" hidden></i></div>
      <div class="ticks" aria-hidden="true"><span style="left:0">safe</span><span style="left:20%">0.2</span><span style="left:80%">0.8</span><span style="left:100%">not safe</span></div>
    </div>`);
  const meter = place.firstElementChild;
  const marker = meter.querySelector(".marker");
  return {
    show(score) {
      marker.hidden = score === undefined;
      if (marker.hidden) {
        meter.setAttribute("aria-valuetext", "no score yet");
        return;
      }
      marker.style.left = `${100 * score}%`;
      meter.setAttribute("aria-valuenow", score);
      meter.setAttribute("aria-valuetext", `${digits(score)}, ${wordFor(score)}`);
    },
  };
}
