// Names and values that whoever made a thing attaches to it. The plane carries them.
import * as v from "valibot";
import { list, optional, text } from "./json.ts";

export const LABELS_MAX = 256;
const LABEL_LETTERS_MAX = 1024;

export const labels = v.object({
  labels: list(v.object({ key: text(LABEL_LETTERS_MAX), value: optional(text(LABEL_LETTERS_MAX)) }), LABELS_MAX),
});
export type Labels = v.InferOutput<typeof labels>;
