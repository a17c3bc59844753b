// Which agents come first in a run: chance, so that nobody's luck depends on an agent's name. Each agent's place is drawn from the seed and
// its id alone, so that those who are looked at come in the same order whoever else is looked at beside them [AL22].
import type { Random } from "#base/random.ts";
import type { AgentId } from "#protocol/ids.ts";

export const drawSeed = (random: Random): number => Math.floor(random.next() * 2 ** 32);

export function shuffled<A extends { readonly agentId: AgentId }>(agents: readonly A[], seed: number): readonly A[] {
  if (agents.length < 2) return agents;
  const drawn = agents.map((agent) => ({ agent, place: placeOf(agent.agentId, seed) }));
  drawn.sort((a, b) => a.place - b.place || (a.agent.agentId < b.agent.agentId ? -1 : 1));
  return drawn.map(({ agent }) => agent);
}

/** FNV-1a over the letters, begun from the seed, then mixed as murmur3 ends. */
function placeOf(id: string, seed: number): number {
  let hash = (0x811c9dc5 ^ seed) >>> 0;
  for (let at = 0; at < id.length; at++) hash = Math.imul(hash ^ id.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
