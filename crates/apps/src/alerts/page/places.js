// Where some places lie, as [latitude, longitude]: for the map and the simulator. CAP messages bring shapes of their own.
export const PLACES = {
  'Aden': [12.8, 45.0], 'Amman': [31.95, 35.93], 'Amsterdam': [52.37, 4.9], 'Ankara': [39.93, 32.86], 'Ashdod': [31.8, 34.65],
  'Ashkelon': [31.67, 34.57], 'Athens': [37.98, 23.73], 'Auckland': [-36.85, 174.76], 'Baghdad': [33.31, 44.37], 'Bangkok': [13.75, 100.5],
  'Barcelona': [41.39, 2.17], 'Beersheba': [31.25, 34.79], 'Beijing': [39.9, 116.4], 'Beirut': [33.89, 35.5], 'Berlin': [52.52, 13.4],
  'Bogotá': [4.71, -74.07], 'Boston': [42.36, -71.06], 'Brussels': [50.85, 4.35], 'Bucharest': [44.43, 26.1], 'Budapest': [47.5, 19.04],
  'Buenos Aires': [-34.6, -58.38], 'Cairo': [30.04, 31.24], 'Cape Town': [-33.92, 18.42], 'Chicago': [41.88, -87.63], 'Copenhagen': [55.68, 12.57],
  'Dakar': [14.72, -17.47], 'Delhi': [28.61, 77.21], 'Dubai': [25.2, 55.27], 'Dublin': [53.35, -6.26], 'Eilat': [29.56, 34.95],
  'Hamburg': [53.55, 9.99], 'Haifa': [32.79, 34.99], 'Hanoi': [21.03, 105.85], 'Helsinki': [60.17, 24.94], 'Hong Kong': [22.32, 114.17],
  'Honolulu': [21.31, -157.86], 'Istanbul': [41.01, 28.98], 'Jakarta': [-6.21, 106.85], 'Jerusalem': [31.78, 35.22], 'Johannesburg': [-26.2, 28.05],
  'Kharkiv': [49.99, 36.23], 'Kyiv': [50.45, 30.52], 'Lagos': [6.52, 3.38], 'Lima': [-12.05, -77.04], 'Lisbon': [38.72, -9.14],
  'London': [51.51, -0.13], 'Los Angeles': [34.05, -118.24], 'Lviv': [49.84, 24.03], 'Madrid': [40.42, -3.7], 'Manila': [14.6, 120.98],
  'Melbourne': [-37.81, 144.96], 'Mexico City': [19.43, -99.13], 'Miami': [25.76, -80.19], 'Milan': [45.46, 9.19], 'Montreal': [45.5, -73.57],
  'Mumbai': [19.08, 72.88], 'Nahariya': [33.01, 35.1], 'Nairobi': [-1.29, 36.82], 'Nazareth': [32.7, 35.3], 'Netanya': [32.33, 34.86],
  'New York': [40.71, -74.01], 'Odesa': [46.48, 30.72], 'Osaka': [34.69, 135.5], 'Oslo': [59.91, 10.75], 'Paris': [48.86, 2.35],
  'Prague': [50.08, 14.44], 'Reykjavík': [64.15, -21.94], 'Rio de Janeiro': [-22.91, -43.17], 'Rome': [41.9, 12.5], 'San Francisco': [37.77, -122.42],
  'Santiago': [-33.45, -70.67], 'São Paulo': [-23.55, -46.63], 'Sderot': [31.52, 34.6], 'Seattle': [47.61, -122.33], 'Seoul': [37.57, 126.98],
  'Shanghai': [31.23, 121.47], 'Singapore': [1.35, 103.82], 'Stockholm': [59.33, 18.07], 'Sydney': [-33.87, 151.21], 'Taipei': [25.03, 121.57],
  'Tehran': [35.69, 51.39], 'Tel Aviv': [32.08, 34.78], 'Tokyo': [35.68, 139.69], 'Toronto': [43.65, -79.38], 'Valparaíso': [-33.05, -71.62],
  'Vancouver': [49.28, -123.12], 'Vienna': [48.21, 16.37], 'Warsaw': [52.23, 21.01], 'Wellington': [-41.29, 174.78], 'Zurich': [47.37, 8.54],
  'חיפה': [32.79, 34.99], 'ירושלים': [31.78, 35.22], 'תל אביב': [32.08, 34.78], 'القاهرة': [30.04, 31.24],
};

const byName = new Map(Object.entries(PLACES).map(([name, at]) => [name.toLowerCase(), at]));

// Where a place lies: as CAP draws it, or by its name, or by the name of a country; `null` when nobody knows.
export function whereIs(location, cap, countries) {
  const drawn = cap?.polygons?.[0] ?? cap?.circles?.[0];
  if (drawn) {
    const points = drawn.trim().split(/\s+/).filter(pair => pair.includes(',')).map(pair => pair.split(',').map(Number));
    const middle = at => points.reduce((sum, point) => sum + point[at], 0) / points.length;
    return [middle(0), middle(1)];
  }
  const name = location.toLowerCase();
  return byName.get(name) ?? byName.get(name.split(/[,(\-–]/)[0].trim()) ?? countries[name] ?? null;
}
