// The one tooltip: which token is pointed at (or reached by keyboard), and what is true of it.
export interface TokenFacts {
  /** Where the token stands on the screen. */
  anchor: DOMRect;
  token: string;
  position: number;
  activation: number;
  scale: number;
  /** Who predicts, and what. */
  simulations: [string, number][];
  /** Reached by keyboard: then it is also announced. */
  announced: boolean;
}

class TooltipState {
  facts = $state.raw<TokenFacts | null>(null);
}

export const tooltip = new TooltipState();
