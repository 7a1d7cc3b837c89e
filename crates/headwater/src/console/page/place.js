// Where we are: #/view?name=value, so that a place can be bookmarked and handed on.
import { useEffect, useState } from '/console/preact.js';

const NAMES = ['overview', 'connections', 'topics', 'tail', 'groups', 'sessions', 'nodes', 'why'];

function place() {
  const [view, query] = location.hash.replace(/^#\/?/, '').split('?');
  return { view: NAMES.includes(view) ? view : 'overview', params: Object.fromEntries(new URLSearchParams(query ?? '')) };
}

export function link(view, params = {}) {
  const query = new URLSearchParams(Object.entries(params).filter(([, value]) => value)).toString();
  return `#/${view}${query ? `?${query}` : ''}`;
}

export function usePlace() {
  const [here, setHere] = useState(place);
  useEffect(() => {
    const onChange = () => setHere(place());
    addEventListener('hashchange', onChange);
    return () => removeEventListener('hashchange', onChange);
  }, []);
  return here;
}

/// Changes the parameters without a step in the browser's history.
export function replace(view, params) {
  history.replaceState(null, '', link(view, params));
}
