"""Words written alike and spoken differently, in sentences; each names the phones it wants."""

from __future__ import annotations

import pytest

from align.text import speakable

# sentence | the word | its phones without stress
SENTENCES = """
I have read the whole book. | read | R EH D
She read it to him yesterday. | read | R EH D
He read the letter and left. | read | R EH D
I read the papers every day. | read | R IY D
Please read this line again. | read | R IY D
Did he read the contract? | read | R IY D
The sign read no entry. | read | R EH D
They will read it tomorrow. | read | R IY D
It was read aloud. | read | R EH D
The lead actor is late. | lead | L IY D
They covered the roof in lead. | lead | L EH D
The old lead pipes were replaced. | lead | L EH D
We follow their lead. | lead | L IY D
This will lead to trouble. | lead | L IY D
We live in London. | live | L IH V
People who live near the sea know. | live | L IH V
This is a live broadcast. | live | L AY V
It was recorded live in Paris. | live | L AY V
We are live in five seconds. | live | L AY V
The children live with their mother. | live | L IH V
It saved many lives. | lives | L AY V Z
She lives by the river. | lives | L IH V Z
The wind blew all night. | wind | W IH N D
You have to wind the clock. | wind | W AY N D
The roads wind up the hill. | wind | W AY N D
A tear ran down her cheek. | tear | T IH R
Do not tear the paper. | tear | T EH R
There is a tear in the fabric. | tear | T EH R
It shows some wear and tear. | tear | T EH R
She was in tears. | tears | T IH R Z
Close the door. | close | K L OW Z
They stood very close to the fire. | close | K L OW S
It was a close call. | close | K L OW S
We will close at nine. | close | K L OW Z
We use it every day. | use | Y UW Z
It is of no use. | use | Y UW S
The use of force is banned. | use | Y UW S
She used to live here. | used | Y UW S T
He is used to the noise. | used | Y UW S T
The knife was used to cut it. | used | Y UW Z D
They used an old camera. | used | Y UW Z D
We record on Monday. | record | R IH K AO R D
The world record stands. | record | R EH K ER D
Record the sound first. | record | R IH K AO R D
He kept a record of it. | record | R EH K ER D
I object to that. | object | AH B JH EH K T
A strange object fell down. | object | AA B JH AH K T
The witness objects to the question. | objects | AH B JH EH K T S
She will present the award. | present | P R IY Z EH N T
The present king is old. | present | P R EH Z AH N T
All of them were present. | present | P R EH Z AH N T
We project a loss. | project | P R AH JH EH K T
The project failed. | project | P R AA JH EH K T
They refuse to leave. | refuse | R IH F Y UW Z
The refuse was collected. | refuse | R EH F Y UW S
He has a permit. | permit | P ER M IH T
We cannot permit it. | permit | P ER M IH T
The desert was hot. | desert | D EH Z ER T
Do not desert me. | desert | D IH Z ER T
He got his just deserts. | deserts | D IH Z ER T S
They produce wine. | produce | P R AH D UW S
The farm sells fresh produce. | produce | P R OW D UW S
He took a bow. | bow | B AW
A bow and arrow. | bow | B OW
They bow to the queen. | bow | B AW
She wore a bow tie. | bow | B OW
He plays the bass guitar. | bass | B EY S
They caught a large bass. | bass | B AE S
He dove into the water. | dove | D OW V
A white dove flew away. | dove | D AH V
The wound healed. | wound | W UW N D
The path wound through the woods. | wound | W AW N D
Wait a minute. | minute | M IH N AH T
In minute detail. | minute | M AY N UW T
His resume was short. | resume | R EH Z AH M EY
We resume at noon. | resume | R IH Z UW M
The content of the film. | content | K AA N T EH N T
She was content. | content | K AH N T EH N T
An aged man. | aged | EY JH IH D
He was aged forty. | aged | EY JH D
They live in separate rooms. | separate | S EH P ER AH T
We must separate them. | separate | S EH P AH R EY T
There is no excuse. | excuse | IH K S K Y UW S
Please excuse me. | excuse | IH K S K Y UW Z
It can house ten people. | house | HH AW Z
The house is old. | house | HH AW S
They conduct the orchestra. | conduct | K AH N D AH K T
His conduct was bad. | conduct | K AA N D AH K T
An increase of ten percent. | increase | IH N K R IY S
They protest against the war. | protest | P R AH T EH S T
The perfect ending. | perfect | P ER F AH K T
We need to perfect it. | perfect | P ER F EH K T
He wound the rope around the post. | wound | W AW N D
The band played live on television. | live | L AY V
Does anyone object? | object | AH B JH EH K T
The soldiers desert at night. | desert | D IH Z ER T
Muscles contract in the cold. | contract | K AH N T R AE K T
A sales record for the firm. | record | R EH K ER D
I never read that letter before yesterday. | read | R EH D
The strong wind broke the window. | wind | W IH N D
"""


def _cases() -> list[tuple[str, str, str]]:
    rows = (row.split("|") for row in SENTENCES.strip().splitlines())
    return [(a.strip(), b.strip(), c.strip()) for a, b, c in rows]


def _alike(phones: str) -> str:
    """Reduced vowels are one: the dictionaries write them AH, IH or IY."""
    return " ".join("@" if p in ("AH", "IH", "IY") else p for p in phones.split())


@pytest.mark.parametrize(("sentence", "word", "phones"), _cases())
def test_part_of_speech_settles_the_reading(sentence: str, word: str, phones: str) -> None:
    (found,) = (w for w in speakable(sentence).words if w.spoken.lower() == word)
    bare = " ".join(p.rstrip("012") for p in found.phones)
    if word in ("read", "lead", "live"):  # here the vowel is the whole difference
        assert bare == phones
    else:
        assert _alike(bare) == _alike(phones)


def test_stress_tells_noun_from_verb() -> None:
    verb = speakable("We import wine.").words[1].phones
    noun = speakable("The import of wine.").words[1].phones
    assert verb.index("AO1") > 0
    assert noun[0] == "IH1"


def test_case_and_names_do_not_confuse_it() -> None:
    assert speakable("LIVE").words[0].phones
    assert speakable("READ").words[0].phones
    assert speakable("Close").words[0].phones
