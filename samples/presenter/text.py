"""What the fictional presenter says: the scene, the archive recordings, the new line."""

from __future__ import annotations

NAME = "Mara Voss"

# One string per breath; pauses fall between them. Every viseme occurs.
SCENE = (
    "Good evening. I'm Mara Voss.",
    "For forty years, the harbour below this hill kept no clock.",
    "The boats came home with the fog, and the women who mended the nets "
    "measured the day by voices.",
    "They joked, they sang, they called each other by name.",
    "Then, in the spring of nineteen sixty-two, a factory whistle took over.",
    "What did we lose? Perhaps only a rhythm.",
    "But the shore remembers how it used to sound, both in storm and in calm.",
)

ARCHIVE = {
    "reel_01_studio": (
        "This is reel one, recorded at the old customs house.",
        "My name is Mara Voss, and I have been asked to describe the north shore as I found it.",
        "There were eleven houses, a chapel without a roof, and a path that the tide "
        "covered twice a day.",
        "Nobody locked a door, because nobody could remember where the keys were.",
    ),
    "reel_02_field": (
        "We are standing by the water now, so forgive the wind.",
        "The man who built this pier was a teacher; he measured every plank with a school ruler.",
        "People laughed at him, of course, until the great storm of fifty-six, when his was "
        "the only pier left standing.",
    ),
    "reel_03_telephone": (
        "Yes, I can hear you. The line is poor, but go on.",
        "I would begin the film with the bell, not with the sea.",
        "Everyone shows the sea first. Show me a hand, a rope, a face that waits.",
        "Then let the picture go dark, and give the audience the sound of the boats "
        "before they see a single one.",
    ),
}

# The line that she never said, for the demonstration.
LINE = "We chose to listen, and the harbour gave us back its voices."
