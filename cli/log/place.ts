// Where a replica is, next to where it was wished to be: a location hint is a wish, and an object never moves.

export interface Placed {
  readonly hint?: string;
  readonly colo?: string;
}

/**
 * Data centres that lie in the region of a hint beyond doubt, by the airports that they are named for. Not all there are: of
 * one that is not here, hint and data centre are both shown.
 */
const COLOS: Readonly<Record<string, string>> = {
  wnam: "SEA PDX SFO SJC LAX SAN SMF LAS PHX SLC DEN YVR YYC",
  enam: "IAD EWR JFK BOS PHL ATL MIA TPA CLT RIC BUF PIT CLE DTW ORD YYZ YUL",
  sam: "GRU GIG EZE SCL BOG LIM UIO MVD ASU POA FOR CWB",
  weur: "AMS LHR MAN EDI DUB CDG MRS LYS BRU LUX FRA DUS HAM MUC TXL BER STR ZRH GVA MAD BCN LIS MXP FCO CPH OSL ARN",
  eeur: "WAW PRG BUD OTP SOF BEG ATH HEL RIX TLL VNO KBP KIV",
  apac: "NRT KIX FUK ICN TPE HKG SIN KUL BKK CGK MNL HAN SGN BOM DEL MAA BLR HYD CCU",
  oc: "SYD MEL BNE PER ADL CBR AKL CHC",
  afr: "JNB CPT DUR NBO LOS ACC CAI CMN",
  me: "DXB RUH JED DOH KWI BAH MCT AMM TLV",
};
const REGION_OF: ReadonlyMap<string, string> = new Map(
  Object.entries(COLOS).flatMap(([region, colos]) => colos.split(" ").map((colo) => [colo, region] as const)),
);

/** Whether the wish came true: undefined when one of the two is not known. */
export function isWhereWished({ hint, colo }: Placed): boolean | undefined {
  const region = colo === undefined ? undefined : REGION_OF.get(colo);
  if (region === undefined || hint === undefined) return undefined;
  return region === hint || hint.startsWith(`${region}-`);
}

export function placeText({ hint, colo }: Placed): string {
  if (hint === undefined) return colo ?? "-";
  if (colo === undefined) return `? (hint ${hint})`;
  return isWhereWished({ hint, colo }) === true ? colo : `${colo} (hint ${hint})`;
}
