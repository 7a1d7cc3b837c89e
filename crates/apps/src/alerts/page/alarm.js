// Sound and notifications: both are asked for, neither is on by itself.

let audio = null;

export function allowSound() {
  audio ??= new AudioContext();
  audio.resume();
}

// Two tones that go up for an alert, one low one for an all-clear.
export function sound(word) {
  if (!audio) return;
  const tones = word === 'all-clear' ? [330] : word === 'pre-alert' ? [520, 520] : [660, 880, 660, 880];
  tones.forEach((hertz, at) => {
    const tone = audio.createOscillator(), volume = audio.createGain(), start = audio.currentTime + at * 0.22;
    tone.frequency.value = hertz;
    tone.type = 'square';
    volume.gain.setValueAtTime(0.15, start);
    volume.gain.exponentialRampToValueAtTime(0.001, start + 0.2);
    tone.connect(volume).connect(audio.destination);
    tone.start(start);
    tone.stop(start + 0.21);
  });
}

export async function allowNotices() {
  if (!('Notification' in window)) return false;
  return Notification.permission === 'granted' || await Notification.requestPermission() === 'granted';
}

export function notice(title, body, tag) {
  if ('Notification' in window && Notification.permission === 'granted') new Notification(title, { body, tag });
}
