// The lists of neurons that a feature is made of, with their titles; empty ones are left out.
import type { RelatedNeuron, Unit } from "../api/types";

interface NeuronList {
  title: string;
  note: string;
  neurons: RelatedNeuron[];
}

export function neuronLists({ correlated, aligned }: Unit["neurons"]): NeuronList[] {
  const lists = [
    { title: "By correlation", note: "of activations, over all tokens", neurons: correlated },
    { title: "By alignment", note: "cosine of output directions", neurons: aligned },
  ];
  return lists.filter(({ neurons }) => neurons.length > 0);
}
